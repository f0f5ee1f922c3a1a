"""Significance on a GPU without the n × n attention matrices in memory (Triton).

Scores are recomputed block by block against their log-sum-exp and added up by column. Up to 128
word-vectors a program holds all of one head's scores, so they are computed once; beyond that a
first pass makes the log-sum-exp. No atomics: the result does not depend on the order of programs.

Legend: B batch, H heads, N word-vectors, D size of a head.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

ONE_BLOCK = 128
HEAD_SIZES = (16, 32, 64, 128, 256)


@triton.jit
def _of_head(program, q_ptr, k_ptr, mask_ptr, q_batch, q_head, k_batch, k_head, heads, n):
    """Where the queries and keys of a program's head begin, and the mask of its input."""
    b, h = program // heads, program % heads
    return q_ptr + b * q_batch + h * q_head, k_ptr + b * k_batch + h * k_head, mask_ptr + b * n


@triton.jit
def _block_of_scores(
    q_ptr, k_ptr, rows, columns, n, q_stride, k_stride, scale, D: tl.constexpr, PRECISION: tl.constexpr
):
    """Scaled scores of some queries (rows) and keys (columns), in float32."""
    d = tl.arange(0, D)
    q = tl.load(q_ptr + rows[:, None] * q_stride + d[None, :], mask=rows[:, None] < n, other=0.0)
    k = tl.load(k_ptr + columns[None, :] * k_stride + d[:, None], mask=columns[None, :] < n, other=0.0)
    return tl.dot(q, k, input_precision=PRECISION) * scale


@triton.jit
def _real(mask_ptr, places, n, MASKED: tl.constexpr):
    """Which places hold real word-vectors."""
    inside = places < n
    if MASKED:
        inside = inside & (tl.load(mask_ptr + places, mask=inside, other=0) != 0)
    return inside


@triton.jit
def _counted(p, rows, columns, counted_rows, DIAGONAL: tl.constexpr):
    """Attention weights that count, summed over the rows."""
    p = tl.where(counted_rows[:, None], p, 0.0)
    if not DIAGONAL:
        p = tl.where(rows[:, None] == columns[None, :], 0.0, p)
    return tl.sum(p, axis=0)


@triton.jit
def _one_block_kernel(
    q_ptr, k_ptr, mask_ptr, out_ptr,
    q_batch, q_head, q_row, k_batch, k_head, k_row, heads, n, scale,
    D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr, DIAGONAL: tl.constexpr,
    PAD_QUERIES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each input and head, which holds all of its scores."""
    program = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, BLOCK)
    q_head_ptr, k_head_ptr, mask_ptr = _of_head(
        program, q_ptr, k_ptr, mask_ptr, q_batch, q_head, k_batch, k_head, heads, n
    )
    real = _real(mask_ptr, places, n, MASKED)
    s = _block_of_scores(q_head_ptr, k_head_ptr, places, places, n, q_row, k_row, scale, D, PRECISION)
    s = tl.where(real[None, :], s, float("-inf"))
    p = tl.exp(s - tl.max(s, axis=1)[:, None])
    p = p / tl.sum(p, axis=1)[:, None]
    counted = places < n
    if not PAD_QUERIES:
        counted = real
    tl.store(out_ptr + program * n + places, _counted(p, places, places, counted, DIAGONAL), mask=places < n)


@triton.jit
def _log_sum_exp_kernel(
    q_ptr, k_ptr, mask_ptr, lse_ptr,
    q_batch, q_head, q_row, k_batch, k_head, k_row, heads, n, scale,
    D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each block of queries of an input and head; goes over all keys."""
    program = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    q_head_ptr, k_head_ptr, mask_ptr = _of_head(
        program, q_ptr, k_ptr, mask_ptr, q_batch, q_head, k_batch, k_head, heads, n
    )
    highest = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        s = _block_of_scores(q_head_ptr, k_head_ptr, rows, columns, n, q_row, k_row, scale, D, PRECISION)
        s = tl.where(_real(mask_ptr, columns, n, MASKED)[None, :], s, float("-inf"))
        now = tl.maximum(highest, tl.max(s, axis=1))
        base = tl.where(now == float("-inf"), 0.0, now)  # no real key so far: all exponentials are 0
        total = total * tl.exp(highest - base) + tl.sum(tl.exp(s - base[:, None]), axis=1)
        highest = now
    tl.store(lse_ptr + program * n + rows, highest + tl.log(total), mask=rows < n)


@triton.jit
def _column_sums_kernel(
    q_ptr, k_ptr, mask_ptr, lse_ptr, out_ptr,
    q_batch, q_head, q_row, k_batch, k_head, k_row, heads, n, scale,
    D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr, DIAGONAL: tl.constexpr,
    PAD_QUERIES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each block of keys of an input and head; goes over all queries."""
    program = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    q_head_ptr, k_head_ptr, mask_ptr = _of_head(
        program, q_ptr, k_ptr, mask_ptr, q_batch, q_head, k_batch, k_head, heads, n
    )
    real = _real(mask_ptr, columns, n, MASKED)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        rows = start + tl.arange(0, BLOCK)
        s = _block_of_scores(q_head_ptr, k_head_ptr, rows, columns, n, q_row, k_row, scale, D, PRECISION)
        lse = tl.load(lse_ptr + program * n + rows, mask=rows < n, other=0.0)
        p = tl.where(real[None, :], tl.exp(s - lse[:, None]), 0.0)
        counted = rows < n
        if not PAD_QUERIES:
            counted = _real(mask_ptr, rows, n, MASKED)
        sums += _counted(p, rows, columns, counted, DIAGONAL)
    tl.store(out_ptr + program * n + columns, sums, mask=columns < n)


def serves(query: Tensor) -> bool:
    """Whether the kernels take heads of this size and numbers of this type: (B, H, N, D)."""
    return query.shape[-1] in HEAD_SIZES and query.dtype in (torch.float32, torch.bfloat16, torch.float16)


@torch.library.custom_op("powerbert::significance", mutates_args=())
def significance_kernel(
    query: Tensor, key: Tensor, mask: Tensor | None, diagonal: bool, pad_queries: bool, lse: Tensor | None = None
) -> Tensor:
    """Significance scores, see `significance.significance_from_projections`; one node to torch.compile.

    Args:
        query, key: (B, H, N, D), D one of `HEAD_SIZES`.
        mask: (B, N) bool; None if nothing is padded.
        lse: (B, H, N) float32, log-sum-exp of the scaled scores of each query, if a fused attention gave it.

    Returns:
        (B, N) float32.
    """
    batch, heads, n, size = query.shape
    query, key = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key))
    mask = None if mask is None else mask.contiguous()
    out = torch.empty(batch, heads, n, device=query.device, dtype=torch.float32)
    places = (*query.stride()[:3], *key.stride()[:3], heads, n, 1.0 / math.sqrt(size))
    mask_or_any = query if mask is None else mask  # never read without a mask
    how = {"D": size, "MASKED": mask is not None, "PRECISION": "ieee" if query.dtype == torch.float32 else "tf32"}
    counts = {"DIAGONAL": diagonal, "PAD_QUERIES": pad_queries}
    if n <= ONE_BLOCK and lse is None:
        block = max(16, triton.next_power_of_2(n))
        _one_block_kernel[(batch * heads,)](query, key, mask_or_any, out, *places, BLOCK=block, **how, **counts)
        return out.sum(dim=1)
    block = 64
    grid = (triton.cdiv(n, block), batch * heads)
    if lse is None:
        lse = torch.empty_like(out)
        _log_sum_exp_kernel[grid](query, key, mask_or_any, lse, *places, BLOCK=block, **how)
    _column_sums_kernel[grid](query, key, mask_or_any, lse.contiguous(), out, *places, BLOCK=block, **how, **counts)
    return out.sum(dim=1)


@significance_kernel.register_fake
def _(query, key, mask, diagonal, pad_queries, lse=None):
    return query.new_empty((query.shape[0], query.shape[2]), dtype=torch.float32)
