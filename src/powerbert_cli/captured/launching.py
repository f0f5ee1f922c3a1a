"""How the operators of a captured pass start their kernels: grids, blocks and results. What they do: `operators`.

Legend: T rows, H heads, S size of a head.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from .kernels import (
    add_norm_kernel,
    attend_blocks_kernel,
    attend_whole_kernel,
    choose_kernel,
    column_sums_kernel,
    gate_kernel,
    passing_kernel,
    put_kernel,
)
from .operators import ONE_BLOCK

_BLOCK = 64  # of queries and of keys, where they are more
_AT_ONCE = 8192  # comparisons of a program that ranks


def _block(n: int) -> int:
    return max(16, triton.next_power_of_2(n))


def _warps(block: int) -> int:
    return 8 if block >= 128 else 4


def attend(
    qkv: Tensor, starts: Tensor, longest: int, sums: bool, diagonal: bool, first_only: bool, at: Tensor | None,
    tables: tuple[Tensor | None, Tensor | None, Tensor | None], span: int, window: int, lse: Tensor | None,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """See `operators.attend`.

    Args:
        lse: (H, T) of a context that was computed elsewhere, of which only the sums are wanted here.
    """
    rows, _, heads, size = qkv.shape
    bias, cos, sin = tables
    places = at is not None and (bias is not None or cos is not None or window > 0)
    given = (qkv, starts, *(qkv if one is None else one for one in (at, bias, cos, sin)))
    numbers = (qkv.stride(0), qkv.stride(1), heads, rows, size**-0.5, span, window)
    how: dict[str, Any] = {
        "S": size, "PLACED": places, "BIASED": bias is not None, "ROTARY": cos is not None, "WINDOW": window > 0,
        "PRECISION": "ieee" if qkv.dtype == torch.float32 else "tf32",
    }  # fmt: skip
    programs = (len(starts) - 1) * heads
    context = None if lse is not None else qkv.new_empty(rows, heads * size)
    found = qkv.new_empty(heads, rows, dtype=torch.float32) if sums else None
    if lse is None and longest <= ONE_BLOCK:
        block = _block(longest)
        attend_whole_kernel[(programs,)](
            *given, context, found, *numbers, BLOCK=block, SUMS=sums, DIAGONAL=diagonal, num_warps=_warps(block), **how
        )
        return context, found
    blocks = triton.cdiv(longest, _BLOCK)
    if lse is None:
        lse = qkv.new_empty(heads, rows, dtype=torch.float32)
        grid = (programs, 1 if first_only else blocks)
        attend_blocks_kernel[grid](*given, context, lse, *numbers, BLOCK=_BLOCK, num_warps=4, **how)
    if sums:
        column_sums_kernel[(programs, blocks)](
            *given, lse, found, *numbers, BLOCK=_BLOCK, DIAGONAL=diagonal, num_warps=4, **how
        )
    return context, found


def choose(
    scores: Tensor, kept: Tensor, counted: bool, capacity: int, starts: Tensor, longest: int, protected: int,
    shield: Tensor | None, at: Tensor | None,
) -> list[Tensor | None]:  # fmt: skip
    """See `operators.choose`."""
    heads, rows = scores.shape
    inputs, n = len(starts) - 1, _block(longest)
    sizes = (capacity, 0 if shield is None else capacity, 0 if at is None else capacity, len(starts), 1)
    if not counted:
        sizes = (*sizes[:3], 0, 0)
    found = [scores.new_empty(size, dtype=torch.int32) if size else None for size in sizes]
    choose_kernel[(inputs + triton.cdiv(capacity, n),)](
        scores, starts, kept, *(scores if one is None else one for one in (shield, at)),
        *(kept if one is None else one for one in found), heads, rows, inputs, capacity, protected,
        HEADS=triton.next_power_of_2(heads), N=n, ROWS=min(n, max(16, _AT_ONCE // n)),
        INPUTS=triton.next_power_of_2(inputs) if counted else 1, SHIELD=shield is not None, PLACED=at is not None,
        COUNTED=counted, num_warps=_warps(n),
    )  # fmt: skip
    return found


def passing(
    scores: Tensor, threshold: float, starts: Tensor, longest: int, protected: int, shield: Tensor | None
) -> Tensor:
    """See `operators.passing`."""
    heads, rows = scores.shape
    counts = scores.new_empty(len(starts) - 1, dtype=torch.int32)
    passing_kernel[(len(counts),)](
        scores, starts, scores if shield is None else shield, counts, threshold, heads, rows, protected,
        HEADS=triton.next_power_of_2(heads), N=_block(longest), SHIELD=shield is not None, num_warps=4,
    )  # fmt: skip
    return counts


def add_norm(
    x: Tensor, residual: Tensor | None, rows: Tensor | None, weight: Tensor | None, shift: Tensor | None, eps: float,
    sums: bool,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """See `operators.add_norm`."""
    count, width = x.shape
    total, normed = torch.empty_like(x) if sums else None, None if weight is None else torch.empty_like(x)
    add_norm_kernel[(count,)](
        x, *(x if one is None else one for one in (residual, rows, weight, shift, total, normed)), width, eps,
        BLOCK=triton.next_power_of_2(width), GATHERS=rows is not None, ADDS=residual is not None,
        SHIFTS=shift is not None, SUMS=sums, NORMS=weight is not None, num_warps=4,
    )  # fmt: skip
    return total, normed


def gate(x: Tensor, kind: str) -> Tensor:
    """See `operators.gate`."""
    out = x.new_empty(len(x), x.shape[1] // 2)
    gate_kernel[(triton.cdiv(out.numel(), 1024),)](
        x, out, out.shape[1], out.numel(), KIND=kind, BLOCK=1024, num_warps=4
    )
    return out


def put(table: Tensor, origin: Tensor, x: Tensor, starts: Tensor) -> None:
    """See `operators.put`."""
    count, width = x.shape
    put_kernel[(count,)](
        table, origin, x, starts, len(starts) - 1, width, BLOCK=triton.next_power_of_2(width), num_warps=4
    )
