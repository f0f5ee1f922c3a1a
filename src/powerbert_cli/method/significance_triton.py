"""Significance of packed rows on a GPU, without padding and without the n × n attention matrices in memory (Triton).

Scores are recomputed block by block against their log-sum-exp and added up by column. Of inputs of up to 128
word-vectors a program holds all of one head's scores, so they are computed once; beyond that a
first pass makes the log-sum-exp. No atomics: the result does not depend on the order of programs.

Legend: T rows, B inputs, H heads, n word-vectors of one input, D size of a head.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

ONE_BLOCK = 128
HEAD_SIZES = (16, 32, 64, 128, 256)


@triton.jit
def _of_head(program, q_ptr, k_ptr, real_ptr, starts_ptr, q_row, q_head, k_row, k_head, heads, rows):
    """Where the queries, keys and real rows of a program's input and head begin, its results, and n."""
    b, h = program // heads, program % heads
    start = tl.load(starts_ptr + b).to(tl.int64)
    n = tl.load(starts_ptr + b + 1).to(tl.int64) - start
    q_ptr, k_ptr = q_ptr + start * q_row + h * q_head, k_ptr + start * k_row + h * k_head
    return q_ptr, k_ptr, real_ptr + start, h * rows + start, n


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
def _real(real_ptr, places, n, MASKED: tl.constexpr):
    """Which places hold real word-vectors."""
    inside = places < n
    if MASKED:
        inside = inside & (tl.load(real_ptr + places, mask=inside, other=0) != 0)
    return inside


@triton.jit
def summed_by_column(p, rows, columns, counted_rows, DIAGONAL: tl.constexpr):
    """Attention weights that count, summed over the rows."""
    p = tl.where(counted_rows[:, None], p, 0.0)
    if not DIAGONAL:
        p = tl.where(rows[:, None] == columns[None, :], 0.0, p)
    return tl.sum(p, axis=0)


@triton.jit
def _one_block_kernel(
    q_ptr, k_ptr, real_ptr, starts_ptr, out_ptr, q_row, q_head, k_row, k_head, heads, rows, scale,
    D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr, DIAGONAL: tl.constexpr,
    PAD_QUERIES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each input and head, which holds all of its scores."""
    program = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, BLOCK)
    q_head_ptr, k_head_ptr, real_ptr, begin, n = _of_head(
        program, q_ptr, k_ptr, real_ptr, starts_ptr, q_row, q_head, k_row, k_head, heads, rows
    )
    real = _real(real_ptr, places, n, MASKED)
    s = _block_of_scores(q_head_ptr, k_head_ptr, places, places, n, q_row, k_row, scale, D, PRECISION)
    s = tl.where(real[None, :], s, float("-inf"))
    p = tl.exp(s - tl.max(s, axis=1)[:, None])
    p = p / tl.sum(p, axis=1)[:, None]
    counted = places < n
    if not PAD_QUERIES:
        counted = real
    tl.store(out_ptr + begin + places, summed_by_column(p, places, places, counted, DIAGONAL), mask=places < n)


@triton.jit
def _log_sum_exp_kernel(
    q_ptr, k_ptr, real_ptr, starts_ptr, lse_ptr, q_row, q_head, k_row, k_head, heads, rows, scale,
    D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each block of queries of an input and head; goes over all keys."""
    program = tl.program_id(0).to(tl.int64)
    queries = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    q_head_ptr, k_head_ptr, real_ptr, begin, n = _of_head(
        program, q_ptr, k_ptr, real_ptr, starts_ptr, q_row, q_head, k_row, k_head, heads, rows
    )
    highest = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        s = _block_of_scores(q_head_ptr, k_head_ptr, queries, columns, n, q_row, k_row, scale, D, PRECISION)
        s = tl.where(_real(real_ptr, columns, n, MASKED)[None, :], s, float("-inf"))
        now = tl.maximum(highest, tl.max(s, axis=1))
        base = tl.where(now == float("-inf"), 0.0, now)  # no real key so far: all exponentials are 0
        total = total * tl.exp(highest - base) + tl.sum(tl.exp(s - base[:, None]), axis=1)
        highest = now
    tl.store(lse_ptr + begin + queries, highest + tl.log(total), mask=queries < n)


@triton.jit
def _column_sums_kernel(
    q_ptr, k_ptr, real_ptr, starts_ptr, lse_ptr, out_ptr, q_row, q_head, k_row, k_head, heads, rows, scale,
    D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr, DIAGONAL: tl.constexpr,
    PAD_QUERIES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each block of keys of an input and head; goes over all queries."""
    program = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    q_head_ptr, k_head_ptr, real_ptr, begin, n = _of_head(
        program, q_ptr, k_ptr, real_ptr, starts_ptr, q_row, q_head, k_row, k_head, heads, rows
    )
    real = _real(real_ptr, columns, n, MASKED)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        queries = start + tl.arange(0, BLOCK)
        s = _block_of_scores(q_head_ptr, k_head_ptr, queries, columns, n, q_row, k_row, scale, D, PRECISION)
        lse = tl.load(lse_ptr + begin + queries, mask=queries < n, other=0.0)
        p = tl.where(real[None, :], tl.exp(s - lse[:, None]), 0.0)
        counted = queries < n
        if not PAD_QUERIES:
            counted = _real(real_ptr, queries, n, MASKED)
        sums += summed_by_column(p, queries, columns, counted, DIAGONAL)
    tl.store(out_ptr + begin + columns, sums, mask=columns < n)


def serves(query: Tensor) -> bool:
    """Whether the kernels take heads of this size and numbers of this type: (B, H, N, D)."""
    return query.shape[-1] in HEAD_SIZES and query.dtype in (torch.float32, torch.bfloat16, torch.float16)


@torch.library.custom_op("powerbert::significance", mutates_args=())
def significance_kernel(
    query: Tensor,
    key: Tensor,
    starts: Tensor,
    longest: int,
    real: Tensor | None,
    diagonal: bool,
    pad_queries: bool,
) -> Tensor:
    """Significance scores, see `significance.significance`; one node to torch.compile.

    Args:
        query, key: (T, H, D), D one of `HEAD_SIZES`.
        starts: (B + 1,) int32, where the rows of each input begin, and the last ones end.
        longest: the largest number of rows of an input.
        real: (T,) bool, rows that are no padding; None if all are.
        diagonal: count what a word-vector takes from itself.
        pad_queries: count what padding takes.

    Returns:
        (T,) float32.
    """
    rows, heads, size = query.shape
    query, key = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key))
    out = torch.empty(heads, rows, device=query.device, dtype=torch.float32)
    places = (*query.stride()[:2], *key.stride()[:2], heads, rows, 1.0 / math.sqrt(size))
    given = (query, key, query if real is None else real.contiguous(), starts)  # never read without a mask
    how = {"D": size, "MASKED": real is not None, "PRECISION": "ieee" if query.dtype == torch.float32 else "tf32"}
    counts = {"DIAGONAL": diagonal, "PAD_QUERIES": pad_queries}
    programs = (len(starts) - 1) * heads
    with torch.cuda.device_of(query):  # of several GPUs
        if longest <= ONE_BLOCK:
            block = max(16, triton.next_power_of_2(longest))
            _one_block_kernel[(programs,)](*given, out, *places, BLOCK=block, **how, **counts)
            return out.sum(dim=0)
        block = 64
        grid, lse = (programs, triton.cdiv(longest, block)), torch.empty_like(out)
        _log_sum_exp_kernel[grid](*given, lse, *places, BLOCK=block, **how)
        _column_sums_kernel[grid](*given, lse, out, *places, BLOCK=block, **how, **counts)
        return out.sum(dim=0)


@significance_kernel.register_fake
def _(query, key, starts, longest, real, diagonal, pad_queries):
    return query.new_empty((query.shape[0],), dtype=torch.float32)
