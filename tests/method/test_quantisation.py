"""SAWB+, PACT+ and 2:4 against hand-computed tensors."""

import math

import pytest
import torch

from powerbert_cli.method.quantisation import (
    codes,
    levels_of,
    mask_2_4,
    pact_plus,
    percentile_clips,
    sawb_clip,
    sawb_plus,
)


@pytest.mark.parametrize(
    ("weight", "clip", "expected"),
    [([0.0, 1, -3, 4], 6.62335, [0, 1, -3, 4]), ([1.0, -1, 2, -2], 0.98399, [7, -7, 7, -7])],
)
def test_sawb_of_four_weights(weight: list[float], clip: float, expected: list[int]) -> None:
    given = torch.tensor([weight])
    found = sawb_clip(given, 4)
    assert float(found) == pytest.approx(clip, abs=1e-4)
    assert codes(given, found / 7, 4).tolist() == [expected]
    assert torch.allclose(sawb_plus(given, 4), torch.tensor([expected]) * found / 7)


def test_sawb_of_normal_weights() -> None:
    given = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))
    clip = sawb_clip(given, 4)
    assert float(clip) == pytest.approx(12.035 - 12.03 * math.sqrt(2 / math.pi), rel=0.01)
    step = given.abs().max() / 7
    by_largest = codes(given, step, 4) * step
    assert (sawb_plus(given, 4) - given).square().mean() < (by_largest - given).square().mean()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("by_row", [False, True])
def test_levels_are_few_and_zero_stays_zero(bits: int, by_row: bool) -> None:
    given = torch.randn(6, 64, generator=torch.Generator().manual_seed(1))
    given[:, ::3] = 0
    given[2] = 0
    found = sawb_plus(given, bits, by_row)
    assert (found[:, ::3] == 0).all() and (found[2] == 0).all() and found.isfinite().all()
    for row in found if by_row else [found]:
        assert len(row.unique()) <= 2 * levels_of(bits) + 1


def test_sawb_plus_lets_all_gradients_through() -> None:
    given = torch.tensor([[0.0, 1, -3, 40]], requires_grad=True)
    wanted = torch.tensor([[1.0, 2, 3, 4]])
    (sawb_plus(given, 4) * wanted).sum().backward()
    assert torch.equal(given.grad, wanted)


def test_mask_keeps_the_two_largest_of_four() -> None:
    given = torch.tensor([[1.0, -3, 2, 0.5, 1, 1, 1, 1], [0, 0, 0, 0, -1, 2, -3, 4]])
    assert mask_2_4(given).int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 1, 1]]
    with pytest.raises(ValueError, match="multiple of 4 inputs, not 6"):
        mask_2_4(torch.ones(1, 6))


def test_pact_plus_one_sided_by_hand() -> None:
    x = torch.tensor([1.4, 5.0, -1.0], requires_grad=True)
    low, high = torch.tensor(0.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    found = pact_plus(x, low, high, 2)
    assert torch.allclose(found, torch.tensor([1.0, 3.0, 0.0]))
    (found * torch.tensor([10.0, 100.0, 1000.0])).sum().backward()
    assert torch.equal(x.grad, torch.tensor([10.0, 0.0, 0.0]))
    assert float(high.grad) == pytest.approx(-0.4 / 3 * 10 + 100)
    assert float(low.grad) == pytest.approx(+0.4 / 3 * 10 + 1000)


def test_pact_plus_has_a_level_at_zero() -> None:
    low, high = torch.tensor(-1.3), torch.tensor(2.0)
    x = torch.linspace(-3, 3, 601)
    with torch.no_grad():
        found = pact_plus(x, low, high, 4)
    assert len(found.unique()) == 16 and (found.unique() == 0).any()
    assert float(pact_plus(torch.tensor(0.0), low, high, 4)) == 0
    assert torch.allclose(found, pact_plus(x.requires_grad_(), low, high, 4))
    inside = (x > -1.2) & (x < 1.9)
    assert (found - x)[inside].abs().max() <= 3.3 / 15 / 2 + 1e-6


def test_pact_plus_gradients_of_two_clips_by_hand() -> None:
    """low=-1, high=2, 2 bits: a step is 1 and 0 is the second level; 0.3 is at z=1.3."""
    x = torch.tensor([0.3], requires_grad=True)
    low, high = torch.tensor(-1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    found = pact_plus(x, low, high, 2)
    assert float(found.detach()) == 0
    found.backward()
    assert float(high.grad) == pytest.approx(-0.3 / 3) and float(low.grad) == pytest.approx(0.3 / 3)


def test_clips_begin_at_percentiles_around_zero() -> None:
    low, high = percentile_clips(torch.linspace(-1, 9, 10001))
    assert low == pytest.approx(-0.99, abs=1e-3) and high == pytest.approx(8.99, abs=1e-3)
    assert percentile_clips(torch.linspace(1, 2, 100))[0] == 0
