"""Self-attention with the place where word-vectors are eliminated or scaled.

Modified from the usual block in one respect: after self-attention the word-vectors can be dropped
(extract) or scaled (soft-extract), before the feed-forward part. When they are dropped, A·V, the
output projection and the residual are computed for the kept rows only.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..method.elimination import Elimination, choose, position_scores
from ..method.kernels import forced_kernel
from ..method.merge import merge_dropped
from ..method.selection import gather_vectors, rows_of_heads
from ..method.significance import attention_weights, chunks, significance, significance_from_projections
from .block import Block, Projections, split_heads
from .parts import part


class WordVectors(NamedTuple):
    """What goes from layer to layer.

    Attributes:
        vectors: (B, N, D).
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        positions: (B, N) int64, places in the input; None where nothing asks for them.
        shield: (B, N) bool, protected beyond the leading positions; None if none are.
        weights: (B, N) float, how many word-vectors each stands for (merging only).
        sizes: (B,) int64, word-vectors that each input began with (relative retention only); None
            if all began with `longest`.
        longest: the largest of them (relative retention only).
        log_survival: (B, N) ≤ 0, logarithm of how far each still survives (search of thresholds only).
    """

    vectors: Tensor
    mask: Tensor | None = None
    positions: Tensor | None = None
    shield: Tensor | None = None
    weights: Tensor | None = None
    sizes: Tensor | None = None
    longest: int | None = None
    log_survival: Tensor | None = None

    def keep(self, vectors: Tensor, index: Tensor, mask: Tensor | None) -> "WordVectors":
        """The kept word-vectors (B, K, D), given already, with all else gathered at `index`."""
        return self._replace(
            vectors=vectors,
            mask=mask,
            positions=None if self.positions is None else self.positions.gather(1, index),
            shield=None if self.shield is None else self.shield.gather(1, index),
            weights=None if self.weights is None else self.weights.gather(1, index),
        )


def _bias(block: Block, state: WordVectors) -> Tensor | None:
    """Added to the scaled scores: of positions, and of how far keys survive; None for nothing."""
    bias = None if state.positions is None else block.bias(state.positions)
    if state.log_survival is None:
        return bias
    survival = state.log_survival[:, None, None, :].to(state.vectors.dtype)
    return survival if bias is None else bias + survival


def _attend(block: Block, projections: Projections, state: WordVectors, bias: Tensor | None, training: bool) -> Tensor:
    """softmax(q·kᵀ + bias)·v without the weights of the whole batch in memory → (B, K, D), K queries over N keys."""
    q, k, v = projections
    if q.dtype == torch.bfloat16 and q.shape[2] == k.shape[2] and not training and _in_eager_cpu_inference(q):
        # PyTorch's fused attention does not use the CPU's bfloat16 units to the full
        weighted = (
            torch.bmm(attention_weights(q, k, state.mask, bias, inputs).flatten(0, 1), v[inputs].flatten(0, 1))
            for inputs in chunks(q)
        )
        return _whole([part.unflatten(0, (-1, block.heads)).transpose(1, 2).flatten(2) for part in weighted])
    mask = None if state.mask is None else state.mask[:, None, None, :]
    if bias is not None:
        # finite, as in the bias: a row of padding whose window holds padding alone has no NaN
        mask = bias if mask is None else bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
    dropout = block.attention_dropout if training else 0.0
    context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return context.transpose(1, 2).flatten(2)


def _scores(
    elimination: Elimination,
    projections: Projections,
    state: WordVectors,
    bias: Tensor | None,
    priority: Tensor | None,
) -> Tensor:
    if elimination.ranking != "attention":
        assert state.positions is not None
        return position_scores(elimination, state.positions, priority)
    return significance_from_projections(
        projections[0],
        projections[1],
        state.mask,
        bias,
        elimination.diagonal,
        elimination.pad_queries,
        None if state.log_survival is None else state.log_survival.detach().exp(),
    )


def attend(block: Block, state: WordVectors, training: bool) -> WordVectors:
    """Self-attention that keeps every word-vector."""
    with part("project"):
        projections = block.project(state.vectors, state.positions)
    with part("attention"):
        context = _attend(block, projections, state, _bias(block, state), training)
    with part("output"):
        return state._replace(vectors=block.join(context, state.vectors, training))


def attend_for_first(block: Block, state: WordVectors, training: bool) -> WordVectors:
    """Self-attention for the first word-vector ([CLS]) alone, over all: exact where only it is read."""
    index = torch.zeros(state.vectors.shape[0], 1, dtype=torch.long, device=state.vectors.device)
    with part("project"):
        projections = block.project(state.vectors, state.positions, index)
    return _attend_for_kept(block, projections, state, _bias(block, state), index, None, training)


def attend_and_extract(
    block: Block, state: WordVectors, elimination: Elimination, j: int, priority: Tensor | None, training: bool
) -> WordVectors:
    """Self-attention, then only the word-vectors that layer j (0-based) keeps.

    Args:
        priority: (ℓ,) of Rand-WS, see `position_scores`; else None.
    """
    bias = _bias(block, state)
    if elimination.chosen_first:  # project the queries of the kept ones only
        assert state.positions is not None
        scores = position_scores(elimination, state.positions, priority)
        index, kept_mask = choose(elimination, j, scores, state.mask, state.shield, state.sizes, state.longest)
        with part("project"):
            projections = block.project(state.vectors, state.positions, index)
        return _attend_for_kept(block, projections, state, bias, index, kept_mask, training)
    with part("project"):
        q, k, v = projections = block.project(state.vectors, state.positions)
    if not training and _weights_serve_twice(q, elimination):
        return _extract_with_weights(block, projections, state, elimination, j, bias)
    with part("significance"):
        scores = _scores(elimination, projections, state, bias, priority)
    with part("select"):
        index, kept_mask = choose(elimination, j, scores, state.mask, state.shield, state.sizes, state.longest)
    if elimination.merges:
        assert state.weights is not None
        with part("attention"):
            context = _attend(block, projections, state, bias, training)
        with part("output"):
            joined = block.join(context, state.vectors, training)
        with part("select"):
            merged, weights = merge_dropped(joined, index, kept_mask, state.weights)
        return state.keep(merged, index, kept_mask)._replace(weights=weights)
    with part("select"):
        kept_q = split_heads(gather_vectors(q.transpose(1, 2).flatten(2), index), block.heads)
    return _attend_for_kept(block, (kept_q, k, v), state, bias, index, kept_mask, training)


def _attend_for_kept(
    block: Block,
    projections: Projections,
    state: WordVectors,
    bias: Tensor | None,
    index: Tensor,
    kept_mask: Tensor | None,
    training: bool,
) -> WordVectors:
    """Attention's output for the word-vectors at `index` (B, K), whose queries are given, over all keys."""
    with part("attention"):
        if bias is not None:
            rows_of_bias = index[:, None, :, None].expand(-1, bias.shape[1], -1, bias.shape[-1])
            bias = bias.expand(index.shape[0], -1, -1, -1).gather(2, rows_of_bias)
        context = _attend(block, projections, state, bias, training)
    with part("output"):
        kept = block.join(context, gather_vectors(state.vectors, index), training)
    return state.keep(kept, index, kept_mask)


def _weights_serve_twice(query: Tensor, elimination: Elimination) -> bool:
    """Whether the attention weights that significance is summed from shall give the output too.

    On a CPU that is faster than fused attention, which would compute them again. Without a gradient,
    and where the tensors' new length is known beforehand, so that the inputs can be taken a few at
    a time. In bfloat16 the logits are as near to float32's as with fused attention.
    """
    return (
        query.dtype in (torch.float32, torch.bfloat16)
        and elimination.strategy == "attention"
        and forced_kernel() != "triton"
        and _in_eager_cpu_inference(query)
    )


def _in_eager_cpu_inference(query: Tensor) -> bool:
    return (
        query.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _extract_with_weights(
    block: Block, projections: Projections, state: WordVectors, elimination: Elimination, j: int, bias: Tensor | None
) -> WordVectors:
    """`attend_and_extract` in inference, a few inputs at a time, with the attention weights of each computed once."""
    q, k, v = projections
    contexts, indices, masks = [], [], []
    for inputs in chunks(q):
        with part("significance"):
            weights = attention_weights(q, k, state.mask, bias, inputs)
            mask = None if state.mask is None else state.mask[inputs]
            scores = significance(weights, mask, elimination.diagonal, elimination.pad_queries)
        with part("select"):
            shield, sizes = (None if part is None else part[inputs] for part in (state.shield, state.sizes))
            index, kept_mask = choose(elimination, j, scores, mask, shield, sizes, state.longest)
        with part("attention"):
            kept = torch.bmm(rows_of_heads(weights, index), v[inputs].flatten(0, 1))  # (b·H, K, D/H)
            contexts.append(kept.unflatten(0, (-1, block.heads)).transpose(1, 2).flatten(2))
        indices.append(index)
        if kept_mask is not None:
            masks.append(kept_mask)
    index = _whole(indices)
    with part("output"):
        vectors = block.join(_whole(contexts), gather_vectors(state.vectors, index), training=False)
    return state.keep(vectors, index, _whole(masks) if masks else None)


def _whole(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def attend_and_score(
    block: Block, state: WordVectors, elimination: Elimination, priority: Tensor | None, training: bool
) -> tuple[WordVectors, Tensor]:
    """Self-attention that keeps every word-vector, and their scores (B, N)."""
    with part("project"):
        projections = block.project(state.vectors, state.positions)
    bias = _bias(block, state)
    with part("significance"):
        scores = _scores(elimination, projections, state, bias, priority)
    with part("attention"):
        context = _attend(block, projections, state, bias, training)
    with part("output"):
        return state._replace(vectors=block.join(context, state.vectors, training)), scores
