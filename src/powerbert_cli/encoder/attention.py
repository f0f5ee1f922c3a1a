"""Self-attention over packed rows, with the place where word-vectors are eliminated.

Modified from the usual block in one respect: after self-attention word-vectors can be dropped (extract), before the
feed-forward part. Then A·V, the output projection and the residual are computed for the kept rows only.

Legend: T rows, T' those that go on, B inputs, b inputs of a group, n word-vectors, K kept, H heads, D hidden, A
numbers of all heads together.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..method.elimination import ByAttention, Kept
from ..method.kernels import significance_by_triton, uses_triton
from ..method.merge import merge_dropped
from ..method.selection import rows_of_heads
from ..method.significance import attention_weights, significance
from .block import Block, PlainBlock
from .exported import attend_exported, export_serves
from .packing import Group, joined
from .parts import part
from .rows import Pick, Rows, bias_of, go_on, of_queries, taken_of


class _Weighing:
    """Attention of a group's inputs over all of their word-vectors.

    Args:
        qkv: queries (b, H, n or K, A/H), keys and values (b, H, n, A/H).
        mask: (b, n) bool of the keys; None if nothing is padded.
        bias: added to the scaled scores, (b or 1, H or 1, n or K, n); None for nothing.
    """

    def __init__(self, qkv: tuple[Tensor, ...], mask: Tensor | None, bias: Tensor | None, dropout: float) -> None:
        self.q, self.k, self.v = qkv
        self.mask, self.bias, self.dropout = mask, bias, dropout
        self._weights: Tensor | None = None

    def weights(self) -> Tensor:
        """(b, H, n or K, n), without gradient; computed once."""
        if self._weights is None:
            self._weights = attention_weights(self.q, self.k, self.mask, self.bias)
        return self._weights

    def context(self, index: Tensor | None = None) -> Tensor:
        """A·V for the word-vectors at `index` (b, K), or all: (b, K, A)."""
        heads = self.q.shape[1]
        if not heads:
            return self.q.new_zeros(self.q.shape[0], self.q.shape[2] if index is None else index.shape[1], 0)
        if self._weights_serve:
            weights = self.weights().flatten(0, 1) if index is None else rows_of_heads(self.weights(), index)
            return torch.bmm(weights, self.v.flatten(0, 1)).unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)
        q, bias = self.q, self.bias
        if index is not None:
            at = index[:, None, :, None]
            q = q.gather(2, at.expand(-1, heads, -1, q.shape[-1]))
            bias = of_queries(bias, index)
        if torch.compiler.is_exporting():  # PyTorch's guards against rows without any key, and engines fuse that less
            weights = attention_weights(q, self.k, self.mask, bias)
            return torch.matmul(weights, self.v).transpose(1, 2).flatten(2)
        mask = None if self.mask is None else self.mask[:, None, None, :]
        if bias is not None:
            # finite, as in the bias: a row of padding whose window holds padding alone has no NaN
            mask = bias if mask is None else bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        context = F.scaled_dot_product_attention(q, self.k, self.v, attn_mask=mask, dropout_p=self.dropout)
        return context.transpose(1, 2).flatten(2)

    @property
    def _weights_serve(self) -> bool:
        """Whether the output comes from the weights that significance was summed from, without a gradient on a CPU.

        Fused attention would compute them again.
        """
        served = self.q.dtype in (torch.float32, torch.bfloat16) and _in_eager_cpu_inference(self.q)
        return served and self._weights is not None


def _in_eager_cpu_inference(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def attend(
    block: Block, rows: Rows, pick: Pick, ranking: ByAttention, dropout: float, training: bool, merges: bool = False
) -> Rows:
    """Self-attention, and of its word-vectors those that `pick` keeps.

    Args:
        ranking: what the scores are that `pick` may ask for.
        dropout: of the attention weights.
        merges: what is dropped goes on inside the kept one most like it; else it is lost.
    """
    packing = rows.packing
    if export_serves(block, rows, ranking, merges):
        return attend_exported(block, rows, pick, training)
    with part("project"):
        qkv = block.project(rows.vectors, rows.positions)
    if _varlen_serves(block, rows, qkv, dropout, merges):
        return _attend_varlen(block, rows, qkv, pick, ranking, training)
    padded = packing.pad(qkv)
    by_rows: list[Tensor] = []  # of all groups, where one kernel scores them all
    contexts, picked = [], []
    for group in packing.groups:
        weighing = _Weighing(_by_head(group.table(padded)), group.mask, bias_of(block, rows, group), dropout)

        def scores(group: Group = group, weighing: _Weighing = weighing) -> Tensor:
            with part("significance"):
                if uses_triton(weighing.q, weighing.bias is not None):
                    if not by_rows:
                        by_rows.append(packing.pad(_scores_by_rows(rows, qkv, ranking)))
                    return group.table(by_rows[0])
                survival = rows.table(group, rows.log_survival)
                counts = None if survival is None else survival.detach().exp()
                return significance(weighing.weights(), group.mask, ranking.diagonal, ranking.pad_queries, counts)

        kept = pick(group, scores)
        picked.append(kept)
        with part("attention"):
            contexts.append(weighing.context(None if kept is None or merges else kept.places).flatten(0, 1))
    context, device = joined(contexts), rows.vectors.device
    if merges or all(kept is None for kept in picked):
        with part("output"):
            rows = rows._replace(vectors=block.join(packing.unpad(context), rows.vectors, training))
    if all(kept is None for kept in picked):
        return rows
    every = [
        group.all(packing.sizes, device) if kept is None else kept
        for group, kept in zip(packing.groups, picked, strict=True)
    ]
    return _merged(rows, every, block.heads) if merges else go_on(block, rows, every, context, training)


def _by_head(table: Tensor) -> tuple[Tensor, ...]:
    """(b, n, P, H, A/H) → P times (b, H, n, A/H)."""
    parts = table.permute(2, 0, 3, 1, 4)
    return (parts.contiguous() if _in_eager_cpu_inference(table) else parts).unbind()


def _scores_by_rows(rows: Rows, qkv: Tensor, ranking: ByAttention) -> Tensor:
    """Significance (T,) by the kernel, without padding anything."""
    packing = rows.packing
    starts, longest = packing.bounds(rows.vectors.device)
    return significance_by_triton(
        qkv[:, 0], qkv[:, 1], starts, longest, packing.real_rows, ranking.diagonal, ranking.pad_queries
    )


def attend_for(block: Block, rows: Rows, kept: Sequence[Kept], dropout: float, training: bool) -> Rows:
    """Self-attention for word-vectors that were chosen beforehand, one entry for each group: only they have queries."""
    packing = rows.packing
    with part("project"):
        q, kv = block.project_for(rows.vectors, rows.positions, packing.rows_of(kept))
        kv = packing.pad(kv)
    contexts, start = [], 0
    with part("attention"):
        for group, one in zip(packing.groups, kept, strict=True):
            end = start + one.places.numel()
            queries = q[start:end].unflatten(0, one.places.shape)
            bias = of_queries(bias_of(block, rows, group), one.places)
            own = (*_by_head(queries), *_by_head(group.table(kv)))
            weighing = _Weighing(own, group.mask, bias, dropout)
            contexts.append(weighing.context().flatten(0, 1))
            start = end
    return go_on(block, rows, kept, joined(contexts), training)


def attend_for_first(block: Block, rows: Rows, dropout: float, training: bool) -> Rows:
    """Self-attention for the first word-vector ([CLS]) of each input alone, over all: exact where only it is read."""
    packing = rows.packing
    firsts = [group.firsts(packing.sizes, rows.vectors.device) for group in packing.groups]
    if not isinstance(block, PlainBlock) or block.joined_kv is None:  # rotary positions, or a gradient
        return attend_for(block, rows, firsts, dropout, training)
    with part("project"):
        vectors, contexts = packing.pad(rows.vectors), []
    with part("attention"):
        for group, first in zip(packing.groups, firsts, strict=True):
            bias = of_queries(bias_of(block, rows, group), first.places)
            contexts.append(block.first_context(block.joined_kv, group.table(vectors), group.mask, bias))
    return go_on(block, rows, firsts, joined(contexts), training)


def _merged(rows: Rows, kept: Sequence[Kept], heads: int) -> Rows:
    """The kept word-vectors with the dropped ones in them."""
    with part("select"):
        vectors, weights = [], []
        for group, one in zip(rows.packing.groups, kept, strict=True):
            table, counts = group.table(rows.packing.pad(rows.vectors)), rows.table(group, rows.weights)
            counts = torch.ones(table.shape[:2], device=table.device) if counts is None else counts
            counts = counts if group.mask is None else counts * group.mask
            merged, after = merge_dropped(table, one.places, one.real, counts)
            vectors.append(merged.flatten(0, 1))
            weights.append(after.flatten())
        at, packing, (merged, total) = taken_of(rows, kept, heads, joined(vectors), joined(weights))
        return rows.going_on(at, packing, merged)._replace(weights=total)


def _varlen_serves(block: Block, rows: Rows, qkv: Tensor, dropout: float, merges: bool) -> bool:
    """Whether PyTorch's attention of variable length takes the rows as they are: on a GPU, in half precision."""
    return (
        qkv.device.type == "cuda"
        and qkv.dtype in (torch.bfloat16, torch.float16)
        and not rows.packing.padding_is_rows
        and rows.log_survival is None
        and rows.weights is None
        and not (block.biased or dropout or merges or not block.heads)
        and uses_triton(qkv, has_bias=False)
    )


def _attend_varlen(block: Block, rows: Rows, qkv: Tensor, pick: Pick, ranking: ByAttention, training: bool) -> Rows:
    """`attend` without any padding: attention and significance over cumulative lengths."""
    from torch.nn.attention.varlen import varlen_attn

    packing, (q, k, v) = rows.packing, qkv.unbind(1)
    (group,), device = packing.groups, rows.vectors.device  # on a GPU all inputs are one group
    starts, longest = packing.bounds(device)

    def scores() -> Tensor:
        with part("significance"):
            return group.table(packing.pad(_scores_by_rows(rows, qkv, ranking)))

    kept = pick(group, scores)
    with part("attention"):
        if kept is None:
            context = varlen_attn(q, k, v, starts, starts, longest, longest)
        else:
            width = kept.places.shape[1]  # what fills inputs up is a query like any other
            ends = torch.arange(group.count + 1, dtype=torch.int32, device=device) * width
            context = varlen_attn(q.index_select(0, packing.rows_of([kept])), k, v, ends, starts, width, longest)
        context = context.flatten(1)  # type: ignore[union-attr]
    if kept is not None:
        return go_on(block, rows, [kept], context, training)
    with part("output"):
        return rows._replace(vectors=block.join(context, rows.vectors, training))
