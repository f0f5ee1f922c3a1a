"""Weights of few levels as bits: codes side by side in bytes, of 2:4 sparse ones two of four with their places.

Legend: O outputs, I inputs of a linear layer, n levels above 0 (`quantisation.levels_of`).
"""

import torch
from torch import Tensor

from .quantisation import GROUP, KEPT, codes, levels_of

_INDEX_BITS = 2


def on_levels(weight: Tensor, bits: int, by_row: bool = False) -> tuple[Tensor, Tensor] | None:
    """The codes (O, I) int8 and the step of weights that lie on 2n + 1 levels; None where they do not.

    codes · step is the weight to the bit.

    Args:
        weight: (O, I) float32.
        by_row: with a step for each output, (O, 1), in place of one for all, (1, 1).
    """
    rows = weight if by_row else weight.reshape(1, -1)
    found, steps = torch.zeros_like(rows, dtype=torch.int8), torch.zeros(len(rows), 1)
    open_rows = rows.abs().amax(dim=1).nonzero().squeeze(1)  # those of zeros alone are done
    for largest in range(levels_of(bits), 0, -1):  # the code of the largest weight: n, where it was clipped
        for towards in (None, 0.0, float("inf")):  # a quotient may be rounded to a neighbour of the step
            if not len(open_rows):
                break
            some = rows[open_rows]
            step = some.abs().amax(dim=1, keepdim=True) / largest
            if towards is not None:
                step = torch.nextafter(step, torch.full_like(step, towards))
            own = codes(some, step, bits)
            exact = (own * step == some).all(dim=1)
            found[open_rows[exact]], steps[open_rows[exact]] = own[exact].to(torch.int8), step[exact]
            open_rows = open_rows[~exact]
    return None if len(open_rows) else (found.view_as(weight), steps)


def is_2_4(given: Tensor) -> bool:
    """Whether at most two of four neighbours along the inputs are not 0, of (O, I)."""
    return given.shape[1] % GROUP == 0 and int((given.unflatten(1, (-1, GROUP)) != 0).sum(dim=-1).max()) <= KEPT


def pack(given: Tensor, bits: int) -> Tensor:
    """Whole numbers 0 … 2^bits - 1 of any shape, as many as fit in a byte, the first lowest: uint8, one dimension."""
    each = 8 // bits
    flat = given.flatten().to(torch.uint8)
    flat = torch.cat([flat, flat.new_zeros(-len(flat) % each)]).view(-1, each)
    shifts = bits * torch.arange(each, dtype=torch.int32)
    return (flat.int() << shifts).sum(dim=1).to(torch.uint8)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """What `pack` was given, flat, int64."""
    shifts = bits * torch.arange(8 // bits, dtype=torch.int32)
    return ((packed.int().unsqueeze(1) >> shifts) & (2**bits - 1)).flatten()[:count].long()


def pack_codes(given: Tensor, bits: int) -> Tensor:
    """Codes -n … n, (O, I) → uint8."""
    return pack(given.int() + levels_of(bits), bits)


def unpack_codes(packed: Tensor, bits: int, shape: tuple[int, int]) -> Tensor:
    """What `pack_codes` was given, int8."""
    return (unpack(packed, bits, shape[0] * shape[1]) - levels_of(bits)).to(torch.int8).view(shape)


def pack_2_4(given: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes of which at most two of four are not 0, (O, I) → two codes a group, and their places of 2 bits: uint8.

    At 4 bits that is 3 bits a weight.
    """
    groups = given.unflatten(1, (-1, GROUP))
    kept = (groups != 0).int().argsort(dim=-1, descending=True, stable=True)[..., :KEPT]
    return pack_codes(groups.gather(-1, kept).flatten(1), bits), pack(kept, _INDEX_BITS)


def unpack_2_4(packed: Tensor, places: Tensor, bits: int, shape: tuple[int, int]) -> Tensor:
    """What `pack_2_4` was given, int8."""
    groups = (shape[0], shape[1] // GROUP)
    kept = unpack_codes(packed, bits, (shape[0], KEPT * groups[1])).unflatten(1, (-1, KEPT))
    index = unpack(places, _INDEX_BITS, kept.numel()).view(kept.shape)
    return torch.zeros(*groups, GROUP, dtype=torch.int8).scatter(-1, index, kept).flatten(1)


def int8_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of 255 levels between the largest weight of each row and its negative: codes int8 and step (O, 1)."""
    step = weight.abs().amax(dim=1, keepdim=True) / levels_of(8)
    return codes(weight, step, 8).to(torch.int8), step
