"""The operators of a captured pass: each is plain PyTorch here, and Triton's kernels on a GPU.

Rows stand in buffers of fixed sizes. Cumulative lengths (B + 1,) int32 say which of them are real: those of input b
begin at starts[b] and end at starts[b + 1]. Rows beyond the last end belong to no input; what an operator of rows
writes there has no meaning, and no operator reads it for a row of an input.

Legend: B inputs, T rows, T' rows that go on, H heads, S size of a head, A = H·S, D hidden, ℓ longest input.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoder.modern_block import rotate
from ..method.kernels import forced_kernel
from ..method.selection import passing_counts, select
from ..method.significance import attention_weights, normalise, significance

ONE_BLOCK = 128  # word-vectors up to which one kernel computes context and sums
_FAR = -1e30


def _kernels(like: Tensor) -> Any:
    """The module with the kernels where they compute: on a GPU, or if `use_kernel` forces them; else None."""
    if not (like.is_cuda or forced_kernel() == "triton"):
        return None
    from . import launching

    return launching


@torch.library.custom_op("powerbert::attend", mutates_args=())
def attend(
    qkv: Tensor,
    starts: Tensor,
    longest: int,
    sums: bool,
    diagonal: bool,
    first_only: bool,
    flash: bool,
    at: Tensor | None,
    bias: Tensor | None,
    cos: Tensor | None,
    sin: Tensor | None,
    span: int,
    window: int,
) -> tuple[Tensor, Tensor]:
    """softmax(q·kᵀ/√S + bias)·v of each input, and the weights' sums by key.

    Args:
        qkv: (T, 3, H, S).
        longest: at least the largest number of word-vectors of an input.
        sums: whether sums are wanted.
        diagonal: whether a word-vector's weight of itself counts in them.
        first_only: only the context of each input's first word-vector is read.
        flash: have PyTorch's attention of variable length compute long inputs' context, in half precision on a GPU.
        at: (T,) int32, places in the input; None where nothing asks for them.
        bias, cos, sin, span, window: see `Arranged`.

    Returns:
        (T, A), and sums (H, T) float32; (0, 0) where they are not wanted.
    """
    kernels = _kernels(qkv)
    if kernels is None:
        return _attend(qkv, starts, sums, diagonal, at, bias, cos, sin, span, window)
    how = (longest, sums, diagonal, first_only, at, (bias, cos, sin), span, window)
    half = qkv.dtype in (torch.bfloat16, torch.float16)
    if flash and half and longest > ONE_BLOCK and bias is None and cos is None:
        context, lse = by_flash_attention(qkv, starts, longest)
        found = kernels.attend(qkv, starts, *how, lse)[1] if sums else None
    else:
        context, found = kernels.attend(qkv, starts, *how, None)
    return context, qkv.new_empty(0, 0, dtype=torch.float32) if found is None else found


@attend.register_fake
def _(qkv, starts, longest, sums, diagonal, first_only, flash, at, bias, cos, sin, span, window):
    rows, _, heads, size = qkv.shape
    found = (heads, rows) if sums else (0, 0)
    return qkv.new_empty(rows, heads * size), qkv.new_empty(found, dtype=torch.float32)


def by_flash_attention(qkv: Tensor, starts: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Context (T, A) and log-sum-exp (H, T) float32, by the operator behind PyTorch's `varlen_attn`.

    Raises:
        RuntimeError: this PyTorch gives the log-sum-exp in another shape.
    """
    q, k, v = qkv.unbind(1)
    context, lse, *_ = torch.ops.aten._flash_attention_forward(
        q, k, v, starts, starts, longest, longest, 0.0, False, False, scale=None
    )
    if lse.shape != (qkv.shape[2], len(qkv)):
        raise RuntimeError(f"flash attention gives a log-sum-exp of shape {tuple(lse.shape)}, not (heads, rows)")
    return context.flatten(1), lse


def _attend(
    qkv: Tensor, starts: Tensor, sums: bool, diagonal: bool, at: Tensor | None, bias: Tensor | None, cos: Tensor | None,
    sin: Tensor | None, span: int, window: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    rows, _, heads, size = qkv.shape
    context = torch.empty(rows, heads * size, dtype=qkv.dtype)
    found = torch.empty(heads if sums else 0, rows if sums else 0)
    for begin, end in _inputs(starts):
        if begin == end:
            continue
        given, own = qkv[begin:end], None if at is None else at[begin:end].long()
        if own is not None and cos is not None and sin is not None:
            given = torch.cat((rotate(given[:, :2], cos[own], sin[own]), given[:, 2:]), dim=1)
        q, k, v = given.permute(1, 2, 0, 3).unsqueeze(1)  # (1, H, n, S) each
        weights = attention_weights(q, k, None, _bias(own, bias, span, window, q.dtype))
        context[begin:end] = (weights @ v)[0].transpose(0, 1).flatten(1)
        if sums:
            found[:, begin:end] = significance(weights.transpose(0, 1), None, diagonal)
    return context, found


def _bias(at: Tensor | None, table: Tensor | None, span: int, window: int, dtype: torch.dtype) -> Tensor | None:
    """(1, 1 or H, n, n)"""
    if at is None or (table is None and not window):
        return None
    apart = at - at.unsqueeze(1)  # key less query
    found = torch.zeros(1, *apart.shape) if table is None else table[:, apart + span]
    return (found.masked_fill(apart.abs() > window, _FAR) if window else found).to(dtype).unsqueeze(0)


@torch.library.custom_op("powerbert::choose", mutates_args=())
def choose(
    scores: Tensor,
    kept: Tensor,
    counted: bool,
    capacity: int,
    starts: Tensor,
    longest: int,
    protected: int,
    shield: Tensor | None,
    at: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Which rows go on: of each input so many, those of the largest scores, in the order of the text.

    What is protected leads, then what is under the shield; of equal scores the first. See `selection.select`.

    Args:
        scores: (H, T) float32, added up over H.
        kept: (B + 1,) int32, where those of each input begin that go on; or, `counted`, how many, (B,).
        capacity: T'. More than so many are cut off, which only counts may be.
        longest: at least the largest number of word-vectors of an input.
        protected: how many leading ones of each input are.
        shield, at: (T,) int32, carried along; None for none.

    Returns:
        Rows, and shield and `at` of these, (T',) int32 each; 0 at what fills up. Where counts are given, also where
        those of each input begin, (B + 1,) int32, and 1 if any were cut off, (1,) int32. What there is not is empty.
    """
    kernels = _kernels(scores)
    if kernels is not None:
        found = kernels.choose(scores, kept, counted, capacity, starts, longest, protected, shield, at)
        own = [scores.new_empty(0, dtype=torch.int32) if one is None else one for one in found]
        return own[0], own[1], own[2], own[3], own[4]
    begins, over = kept, kept.new_zeros(0)
    if counted:
        ends = F.pad(kept.cumsum(0, dtype=torch.int32), (1, 0))
        begins, over = ends.clamp(max=capacity), (ends[-1:] > capacity).int()
    rows = torch.zeros(capacity, dtype=torch.int32)
    for (begin, end), (first, last) in zip(_inputs(starts), _inputs(begins), strict=True):
        if first < last:
            own_shield = None if shield is None else shield[begin:end].bool().unsqueeze(0)
            of = scores[:, begin:end].sum(dim=0, keepdim=True)
            rows[first:last] = (begin + select(of, last - first, None, protected, own_shield)[0]).int()
    real = torch.arange(capacity) < begins[-1]
    carried = [torch.zeros(0 if one is None else capacity, dtype=torch.int32) for one in (shield, at)]
    for one, values in zip(carried, (shield, at), strict=True):
        if values is not None:
            one[real] = values[rows[real]]
    return rows, carried[0], carried[1], begins if counted else kept.new_zeros(0), over


@choose.register_fake
def _(scores, kept, counted, capacity, starts, longest, protected, shield, at):
    sizes = (capacity, 0 if shield is None else capacity, 0 if at is None else capacity)
    more = (len(starts), 1) if counted else (0, 0)
    return tuple(scores.new_empty(size, dtype=torch.int32) for size in (*sizes, *more))


@torch.library.custom_op("powerbert::passing", mutates_args=())
def passing(
    scores: Tensor, threshold: float, starts: Tensor, longest: int, protected: int, shield: Tensor | None
) -> Tensor:
    """How many word-vectors of each input reach a threshold on their significance over its mean: (B,) int32.

    Protected ones count in any case, and of an input with any word-vector at least one. See `choose`.
    """
    kernels = _kernels(scores)
    if kernels is not None:
        return kernels.passing(scores, threshold, starts, longest, protected, shield)
    counts = torch.zeros(len(starts) - 1, dtype=torch.int32)
    for b, (begin, end) in enumerate(_inputs(starts)):
        if begin == end:
            continue
        reached = normalise(scores[:, begin:end].sum(dim=0, keepdim=True)) >= threshold
        own = None if shield is None else shield[begin:end].bool().unsqueeze(0)
        counts[b] = passing_counts(reached, None, protected, own)
    return counts


@passing.register_fake
def _(scores, threshold, starts, longest, protected, shield):
    return starts.new_empty(len(starts) - 1)


@torch.library.custom_op("powerbert::add_norm", mutates_args=())
def add_norm(
    x: Tensor,
    residual: Tensor | None,
    rows: Tensor | None,
    weight: Tensor | None,
    shift: Tensor | None,
    eps: float,
    sums: bool,
) -> tuple[Tensor, Tensor]:
    """x + residual and its norm, computed in float32.

    Args:
        x: (T', D).
        residual: (T, D); None for nothing to add.
        rows: (T',) int32, the row of the residual for each of x; None where they are in the same order.
        weight, shift: (D,) of the norm; without a weight there is none.
        sums: whether the sum is wanted.

    Returns:
        The sum and the norm, (T', D), empty where not wanted.
    """
    kernels = _kernels(x)
    if kernels is not None:
        total, normed = kernels.add_norm(x, residual, rows, weight, shift, eps, sums)
        return x.new_empty(0) if total is None else total, x.new_empty(0) if normed is None else normed
    total = x.float()
    if residual is not None:
        total = total + (residual if rows is None else residual.index_select(0, rows)).float()
    if weight is None:
        return total.to(x.dtype), x.new_empty(0)
    of = (weight.float(), None if shift is None else shift.float())
    normed = F.layer_norm(total, x.shape[1:], *of, eps).to(x.dtype)
    return total.to(x.dtype) if sums else x.new_empty(0), normed


@add_norm.register_fake
def _(x, residual, rows, weight, shift, eps, sums):
    return torch.empty_like(x) if sums else x.new_empty(0), x.new_empty(0) if weight is None else torch.empty_like(x)


@torch.library.custom_op("powerbert::put", mutates_args=("table",))
def put(table: Tensor, origin: Tensor, x: Tensor, starts: Tensor) -> None:
    """Writes rows x (T', D) into the table (T, D), each at its origin (T',) int32, as far as they are real."""
    kernels = _kernels(x)
    if kernels is not None:
        kernels.put(table, origin, x, starts)
    else:
        count = int(starts[-1])
        table[origin[:count].long()] = x[:count]


@put.register_fake
def _(table, origin, x, starts):
    return None


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


@torch.library.custom_op("powerbert::gate", mutates_args=())
def gate(x: Tensor, kind: str) -> Tensor:
    """One of `ACTIVATIONS` of the first half of each row, times the second half: (T, 2F) → (T, F)."""
    kernels = _kernels(x)
    if kernels is not None:
        return kernels.gate(x, kind)
    own, other = x.chunk(2, dim=-1)
    return ACTIVATIONS[kind](own) * other


@gate.register_fake
def _(x, kind):
    return x.new_empty(len(x), x.shape[1] // 2)


def _inputs(starts: Tensor) -> list[tuple[int, int]]:
    """Where the rows of each input begin and end."""
    return list(pairwise(starts.tolist()))
