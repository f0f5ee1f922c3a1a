"""The Triton kernels of a captured pass. What each computes is said, and computed plainly, in `operators`; `launching`
starts them.

Nothing in them depends on how many rows are real but through cumulative lengths in memory, so that a recorded launch
serves every batch of its bucket. There are no atomics: answers do not depend on the order of programs.

Legend: B inputs, T rows, H heads, S size of a head, n word-vectors of one input, D hidden.
"""

import triton
import triton.language as tl

from ..method.significance_triton import summed_by_column


@triton.jit
def _span(program, starts_ptr, heads):
    """Of a program for each input and head: the input, the head, the input's first row and n."""
    b, h = program // heads, program % heads
    start = tl.load(starts_ptr + b).to(tl.int64)
    return h, start, (tl.load(starts_ptr + b + 1) - start).to(tl.int32)


@triton.jit
def _heads_rows(ptr, places, n, row, S: tl.constexpr):
    """(places, S) of query, key or value; 0 beyond n."""
    d = tl.arange(0, S)
    return tl.load(ptr + places[:, None] * row + d[None, :], mask=places[:, None] < n, other=0.0)


@triton.jit
def _turned(ptr, places, n, row, at, cos_ptr, sin_ptr, S: tl.constexpr, ROTARY: tl.constexpr):
    """`_heads_rows`, turned by positions `at` where the model does so."""
    x = _heads_rows(ptr, places, n, row, S)
    if ROTARY:
        d = tl.arange(0, S)
        other = tl.load(
            ptr + places[:, None] * row + ((d + S // 2) % S)[None, :], mask=places[:, None] < n, other=0.0
        ).to(tl.float32)
        other = tl.where((d < S // 2)[None, :], -other, other)
        cos = tl.load(cos_ptr + at[:, None] * S + d[None, :])
        sin = tl.load(sin_ptr + at[:, None] * S + d[None, :])
        x = (x.to(tl.float32) * cos + other * sin).to(x.dtype)
    return x


@triton.jit
def _positions(at_ptr, places, n, PLACED: tl.constexpr):
    """Places in the input as it began; of no meaning where nothing asks for them."""
    at = places.to(tl.int32)
    if PLACED:
        at = tl.load(at_ptr + places, mask=places < n, other=0)
    return at


@triton.jit
def _scores(
    q, k, keys, n, q_at, k_at, h, bias_ptr, scale, span, window, BIASED: tl.constexpr, WINDOW: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Scaled scores of some queries and keys in float32; -inf for keys beyond n."""
    s = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    if BIASED:
        s += tl.load(bias_ptr + h * (2 * span + 1) + (k_at[None, :] - q_at[:, None] + span))
    if WINDOW:
        s = tl.where(tl.abs(k_at[None, :] - q_at[:, None]) > window, -1e30, s)  # finite: no row is without keys
    return tl.where((keys < n)[None, :], s, float("-inf"))


@triton.jit
def attend_whole_kernel(
    qkv_ptr, starts_ptr, at_ptr, bias_ptr, cos_ptr, sin_ptr, context_ptr, sums_ptr, row, part, heads, rows, scale, span,
    window, S: tl.constexpr, BLOCK: tl.constexpr, PLACED: tl.constexpr, BIASED: tl.constexpr, ROTARY: tl.constexpr,
    WINDOW: tl.constexpr, SUMS: tl.constexpr, DIAGONAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each input and head, which holds all of its scores: context, and sums by column."""
    h, start, n = _span(tl.program_id(0).to(tl.int64), starts_ptr, heads)
    q_ptr = qkv_ptr + start * row + h * S
    places = tl.arange(0, BLOCK)
    at = _positions(at_ptr + start, places, n, PLACED)
    q = _turned(q_ptr, places, n, row, at, cos_ptr, sin_ptr, S, ROTARY)
    k = _turned(q_ptr + part, places, n, row, at, cos_ptr, sin_ptr, S, ROTARY)
    s = _scores(q, k, places, n, at, at, h, bias_ptr, scale, span, window, BIASED, WINDOW, PRECISION)
    p = tl.exp(s - tl.max(s, axis=1)[:, None])
    p = p / tl.sum(p, axis=1)[:, None]
    v = _heads_rows(q_ptr + 2 * part, places, n, row, S)
    context = tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
    to = context_ptr + (start + places[:, None]) * (heads * S) + h * S + tl.arange(0, S)[None, :]
    tl.store(to, context.to(v.dtype), mask=places[:, None] < n)
    if SUMS:
        sums = summed_by_column(p, places, places, places < n, DIAGONAL)
        tl.store(sums_ptr + h * rows + start + places, sums, mask=places < n)


@triton.jit
def attend_blocks_kernel(
    qkv_ptr, starts_ptr, at_ptr, bias_ptr, cos_ptr, sin_ptr, context_ptr, lse_ptr, row, part, heads, rows, scale, span,
    window, S: tl.constexpr, BLOCK: tl.constexpr, PLACED: tl.constexpr, BIASED: tl.constexpr, ROTARY: tl.constexpr,
    WINDOW: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each block of queries of an input and head: context, and the scores' log-sum-exp."""
    h, start, n = _span(tl.program_id(0).to(tl.int64), starts_ptr, heads)
    first = tl.program_id(1) * BLOCK
    if first < n:
        q_ptr = qkv_ptr + start * row + h * S
        queries = first + tl.arange(0, BLOCK)
        q_at = _positions(at_ptr + start, queries, n, PLACED)
        q = _turned(q_ptr, queries, n, row, q_at, cos_ptr, sin_ptr, S, ROTARY)
        highest = tl.full((BLOCK,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK,), tl.float32)
        context = tl.zeros((BLOCK, S), tl.float32)
        for begin in range(0, n, BLOCK):
            keys = begin + tl.arange(0, BLOCK)
            k_at = _positions(at_ptr + start, keys, n, PLACED)
            k = _turned(q_ptr + part, keys, n, row, k_at, cos_ptr, sin_ptr, S, ROTARY)
            s = _scores(q, k, keys, n, q_at, k_at, h, bias_ptr, scale, span, window, BIASED, WINDOW, PRECISION)
            now = tl.maximum(highest, tl.max(s, axis=1))
            p = tl.exp(s - now[:, None])
            fades = tl.exp(highest - now)
            v = _heads_rows(q_ptr + 2 * part, keys, n, row, S)
            context = context * fades[:, None] + tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
            total = total * fades + tl.sum(p, axis=1)
            highest = now
        context = context / total[:, None]
        to = context_ptr + (start + queries[:, None]) * (heads * S) + h * S + tl.arange(0, S)[None, :]
        tl.store(to, context.to(q.dtype), mask=queries[:, None] < n)
        tl.store(lse_ptr + h * rows + start + queries, highest + tl.log(total), mask=queries < n)


@triton.jit
def column_sums_kernel(
    qkv_ptr, starts_ptr, at_ptr, bias_ptr, cos_ptr, sin_ptr, lse_ptr, sums_ptr, row, part, heads, rows, scale, span,
    window, S: tl.constexpr, BLOCK: tl.constexpr, PLACED: tl.constexpr, BIASED: tl.constexpr, ROTARY: tl.constexpr,
    WINDOW: tl.constexpr, DIAGONAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program for each block of keys of an input and head, which goes over all queries: sums by column."""
    h, start, n = _span(tl.program_id(0).to(tl.int64), starts_ptr, heads)
    first = tl.program_id(1) * BLOCK
    if first < n:
        q_ptr = qkv_ptr + start * row + h * S
        keys = first + tl.arange(0, BLOCK)
        k_at = _positions(at_ptr + start, keys, n, PLACED)
        k = _turned(q_ptr + part, keys, n, row, k_at, cos_ptr, sin_ptr, S, ROTARY)
        sums = tl.zeros((BLOCK,), tl.float32)
        for begin in range(0, n, BLOCK):
            queries = begin + tl.arange(0, BLOCK)
            q_at = _positions(at_ptr + start, queries, n, PLACED)
            q = _turned(q_ptr, queries, n, row, q_at, cos_ptr, sin_ptr, S, ROTARY)
            s = _scores(q, k, keys, n, q_at, k_at, h, bias_ptr, scale, span, window, BIASED, WINDOW, PRECISION)
            lse = tl.load(lse_ptr + h * rows + start + queries, mask=queries < n, other=0.0)
            sums += summed_by_column(tl.exp(s - lse[:, None]), queries, keys, queries < n, DIAGONAL)
        tl.store(sums_ptr + h * rows + start + keys, sums, mask=keys < n)


@triton.jit
def _key(scores_ptr, shield_ptr, start, places, n, heads, rows, protected, HEADS: tl.constexpr, SHIELD: tl.constexpr):
    """What places rank by: their scores over all heads; what is protected leads."""
    h = tl.arange(0, HEADS)
    inside = places < n
    at = h[:, None] * rows + start + places[None, :]
    key = tl.sum(tl.load(scores_ptr + at, mask=(h < heads)[:, None] & inside[None, :], other=0.0), axis=0)
    if SHIELD:
        kept = tl.load(shield_ptr + start + places, mask=inside, other=0)
        key = tl.where(kept != 0, 3.4028234663852886e38, key)
    key = tl.where((places < protected) | (key != key), float("inf"), key)
    return tl.where(inside, key, float("-inf"))


@triton.jit
def choose_kernel(
    scores_ptr, starts_ptr, kept_ptr, shield_ptr, at_ptr, rows_ptr, shield_out_ptr, at_out_ptr, kept_out_ptr, over_ptr,
    heads, rows, inputs, capacity, protected, HEADS: tl.constexpr, N: tl.constexpr, ROWS: tl.constexpr,
    INPUTS: tl.constexpr, SHIELD: tl.constexpr, PLACED: tl.constexpr, COUNTED: tl.constexpr,
):  # fmt: skip
    """One program for each input, which ranks by counting; those beyond write the rows that fill up.

    The rank of a row is the number of larger scores, and of equal ones before it. Its place is the number of rows
    before it that are kept. Where counts are given, each program adds up those of the inputs before its own.
    """
    b = tl.program_id(0).to(tl.int64)
    if COUNTED:
        all_inputs = tl.arange(0, INPUTS)
        counts = tl.load(kept_ptr + all_inputs, mask=all_inputs < inputs, other=0)
        place = tl.minimum(tl.sum(tl.where(all_inputs < b, counts, 0), axis=0), capacity)
        end = tl.minimum(tl.sum(tl.where(all_inputs <= b, counts, 0), axis=0), capacity)
        if b < inputs:
            tl.store(kept_out_ptr + b + 1, end)
        if b == 0:
            tl.store(kept_out_ptr, place)
            tl.store(over_ptr, (tl.sum(counts, axis=0) > capacity).to(tl.int32))
    else:
        place = tl.load(kept_ptr + tl.minimum(b, inputs))
        end = tl.load(kept_ptr + tl.minimum(b + 1, inputs))
    if b >= inputs:
        fills = place + (b - inputs) * N + tl.arange(0, N)
        tl.store(rows_ptr + fills, tl.zeros((N,), tl.int32), mask=fills < capacity)
        if SHIELD:
            tl.store(shield_out_ptr + fills, tl.zeros((N,), tl.int32), mask=fills < capacity)
        if PLACED:
            tl.store(at_out_ptr + fills, tl.zeros((N,), tl.int32), mask=fills < capacity)
    else:
        start = tl.load(starts_ptr + b).to(tl.int64)
        n = (tl.load(starts_ptr + b + 1) - start).to(tl.int32)
        keep = end - place
        columns = tl.arange(0, N)
        key = _key(scores_ptr, shield_ptr, start, columns, n, heads, rows, protected, HEADS, SHIELD)
        for first in range(0, n, ROWS):
            own_places = first + tl.arange(0, ROWS)
            own = _key(scores_ptr, shield_ptr, start, own_places, n, heads, rows, protected, HEADS, SHIELD)
            before = (key[None, :] == own[:, None]) & (columns[None, :] < own_places[:, None])
            ahead = ((key[None, :] > own[:, None]) | before) & (columns < n)[None, :]
            stays = (tl.sum(ahead.to(tl.int32), axis=1) < keep) & (own_places < n)
            to = place + tl.cumsum(stays.to(tl.int32), axis=0) - 1
            stays = stays & (to < end)
            tl.store(rows_ptr + to, (start + own_places).to(tl.int32), mask=stays)
            if SHIELD:
                kept = tl.load(shield_ptr + start + own_places, mask=stays, other=0)
                tl.store(shield_out_ptr + to, kept, mask=stays)
            if PLACED:
                at = tl.load(at_ptr + start + own_places, mask=stays, other=0)
                tl.store(at_out_ptr + to, at, mask=stays)
            place += tl.sum(stays.to(tl.int32), axis=0)


@triton.jit
def passing_kernel(
    scores_ptr, starts_ptr, shield_ptr, counts_ptr, threshold, heads, rows, protected, HEADS: tl.constexpr,
    N: tl.constexpr, SHIELD: tl.constexpr,
):  # fmt: skip
    """One program for each input: how many of its scores, over their mean, reach the threshold."""
    b = tl.program_id(0).to(tl.int64)
    start = tl.load(starts_ptr + b).to(tl.int64)
    n = (tl.load(starts_ptr + b + 1) - start).to(tl.int32)
    places = tl.arange(0, N)
    plain = _key(scores_ptr, shield_ptr, start, places, n, heads, rows, 0, HEADS, False)
    total = tl.sum(tl.where(places < n, plain, 0.0), axis=0)
    passes = (plain * n.to(tl.float32) / total >= threshold) | (places < protected)
    if SHIELD:
        passes = passes | (tl.load(shield_ptr + start + places, mask=places < n, other=0) != 0)
    found = tl.sum((passes & (places < n)).to(tl.int32), axis=0)
    tl.store(counts_ptr + b, tl.minimum(tl.maximum(found, 1), n))


@triton.jit
def add_norm_kernel(
    x_ptr, residual_ptr, rows_ptr, weight_ptr, shift_ptr, sum_ptr, norm_ptr, width, eps, BLOCK: tl.constexpr,
    GATHERS: tl.constexpr, ADDS: tl.constexpr, SHIFTS: tl.constexpr, SUMS: tl.constexpr, NORMS: tl.constexpr,
):  # fmt: skip
    """One program for each row: x and the residual at its row, their sum and the sum's norm."""
    i = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, BLOCK)
    inside = d < width
    total = tl.load(x_ptr + i * width + d, mask=inside, other=0.0).to(tl.float32)
    if ADDS:
        at = tl.load(rows_ptr + i).to(tl.int64) if GATHERS else i
        total += tl.load(residual_ptr + at * width + d, mask=inside, other=0.0).to(tl.float32)
    if SUMS:
        tl.store(sum_ptr + i * width + d, total.to(sum_ptr.dtype.element_ty), mask=inside)
    if NORMS:
        mean = tl.sum(total, axis=0) / width
        apart = tl.where(inside, total - mean, 0.0)
        normed = apart / tl.sqrt(tl.sum(apart * apart, axis=0) / width + eps)
        normed *= tl.load(weight_ptr + d, mask=inside, other=0.0).to(tl.float32)
        if SHIFTS:
            normed += tl.load(shift_ptr + d, mask=inside, other=0.0).to(tl.float32)
        tl.store(norm_ptr + i * width + d, normed.to(norm_ptr.dtype.element_ty), mask=inside)


@triton.jit
def put_kernel(table_ptr, origin_ptr, x_ptr, starts_ptr, inputs, width, BLOCK: tl.constexpr):
    """One program for each row, which writes it at its origin if it is a real one."""
    i = tl.program_id(0).to(tl.int64)
    if i < tl.load(starts_ptr + inputs):
        d = tl.arange(0, BLOCK)
        at = tl.load(origin_ptr + i).to(tl.int64)
        tl.store(table_ptr + at * width + d, tl.load(x_ptr + i * width + d, mask=d < width), mask=d < width)


@triton.jit
def gate_kernel(x_ptr, out_ptr, width, total, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """One program for some numbers of (T, F): an activation of the first half of (T, 2F), times the second half."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    own_ptr = x_ptr + at // width * 2 * width + at % width
    x = tl.load(own_ptr, mask=inside, other=0.0).to(tl.float32)
    if KIND == "gelu":
        x = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif KIND == "gelu_tanh":
        inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
        x = 0.5 * x * (1 + (1 - 2 / (1 + tl.exp(2 * inner))))
    elif KIND == "silu":
        x = x / (1 + tl.exp(-x))
    else:
        x = tl.maximum(x, 0.0)
    x = x.to(x_ptr.dtype.element_ty).to(tl.float32)  # as the activation by itself would be rounded
    gate = tl.load(own_ptr + width, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + at, (x * gate).to(out_ptr.dtype.element_ty), mask=inside)
