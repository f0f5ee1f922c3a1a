"""Codes and places as bits, and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from powerbert_cli.method.bit_packing import (
    int8_rows,
    is_2_4,
    on_levels,
    pack,
    pack_2_4,
    pack_codes,
    unpack,
    unpack_2_4,
    unpack_codes,
)
from powerbert_cli.method.quantisation import levels_of, mask_2_4, sawb_plus


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_bytes_by_hand() -> None:
    assert pack(torch.tensor([1, 2, 15]), 4).tolist() == [0x21, 0x0F]
    assert pack(torch.tensor([1, 2, 3, 0, 1]), 2).tolist() == [0b00111001, 1]
    assert pack_codes(torch.tensor([[-7, 0, 7, 1]]), 4).tolist() == [0x70, 0x8E]
    codes, places = pack_2_4(torch.tensor([[0, -7, 0, 3, 0, 0, 0, 0]]), 4)
    assert codes.tolist() == [0xA0, 0x77] and places.tolist() == [0b01001101]


@settings(deadline=None, max_examples=30)
@given(bits=st.sampled_from([2, 4, 8]), rows=st.integers(1, 7), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_round_trips(bits, rows, columns, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    n = levels_of(bits)
    dense = torch.randint(-n, n + 1, (rows, columns), generator=generator)
    assert torch.equal(unpack_codes(pack_codes(dense, bits), bits, (rows, columns)).long(), dense)
    assert unpack(pack(dense + n, bits), bits, dense.numel()).tolist() == (dense + n).flatten().tolist()
    wide = torch.randint(-n, n + 1, (rows, 4 * columns), generator=generator)
    sparse = wide * mask_2_4(wide.float())
    packed, places = pack_2_4(sparse, bits)
    assert torch.equal(unpack_2_4(packed, places, bits, (rows, 4 * columns)).long(), sparse)
    assert len(places) == -(-2 * rows * columns * 2 // 8) and len(packed) == -(-2 * rows * columns * bits // 8)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.0371, 3e-4])
def test_levels_are_found_to_the_bit(bits, by_row, scale) -> None:
    weight = scale * random(24, 64, seed=bits)
    weight[3] = 0
    quantised = sawb_plus(weight, bits, by_row)
    found = on_levels(quantised, bits, by_row)
    assert found is not None
    codes, step = found
    assert step.shape == ((24, 1) if by_row else (1, 1))
    assert torch.equal(codes * step, quantised) and int(codes.abs().max()) <= levels_of(bits)
    assert on_levels(weight, bits, by_row) is None


def test_levels_whose_highest_is_not_taken() -> None:
    weight = torch.tensor([[3, -1, 2, 0]]) * torch.tensor(0.1)
    codes, step = on_levels(weight, 4)
    assert torch.equal(codes * step, weight)


def test_two_of_four() -> None:
    weight = random(8, 16)
    assert not is_2_4(weight) and is_2_4(weight * mask_2_4(weight)) and not is_2_4(weight[:, :6])


def test_int8_by_row() -> None:
    weight = random(5, 40)
    weight[2] = 0
    codes, step = int8_rows(weight)
    assert (codes * step - weight).abs().max() <= step.max() / 2 + 1e-7 and int(codes.abs().max()) == 127
    assert (codes[2] == 0).all()
