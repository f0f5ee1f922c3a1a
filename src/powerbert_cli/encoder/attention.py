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
from ..method.merge import merge_dropped
from ..method.selection import gather_vectors
from ..method.significance import significance_from_projections
from .block import Block, Projections, split_heads


class WordVectors(NamedTuple):
    """What goes from layer to layer.

    Attributes:
        vectors: (B, N, D).
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        positions: (B, N) int64, places in the input; None where nothing asks for them.
        shield: (B, N) bool, protected beyond the leading positions; None if none are.
        weights: (B, N) float, how many word-vectors each stands for (merging only).
    """

    vectors: Tensor
    mask: Tensor | None = None
    positions: Tensor | None = None
    shield: Tensor | None = None
    weights: Tensor | None = None

    def keep(self, vectors: Tensor, index: Tensor, mask: Tensor | None) -> "WordVectors":
        """The kept word-vectors (B, K, D), given already, with all else gathered at `index`."""
        return WordVectors(
            vectors,
            mask,
            None if self.positions is None else self.positions.gather(1, index),
            None if self.shield is None else self.shield.gather(1, index),
            None if self.weights is None else self.weights.gather(1, index),
        )


def _bias(block: Block, state: WordVectors) -> Tensor | None:
    return None if state.positions is None else block.bias(state.positions)


def _attend(block: Block, projections: Projections, state: WordVectors, bias: Tensor | None, training: bool) -> Tensor:
    """softmax(q·kᵀ + bias)·v without the weights in memory → (B, K, D), K queries over N keys."""
    q, k, v = projections
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
        projections[0], projections[1], state.mask, bias, elimination.diagonal, elimination.pad_queries
    )


def attend(block: Block, state: WordVectors, training: bool) -> WordVectors:
    """Self-attention that keeps every word-vector."""
    projections = block.project(state.vectors, state.positions)
    context = _attend(block, projections, state, _bias(block, state), training)
    return state._replace(vectors=block.join(context, state.vectors, training))


def attend_and_extract(
    block: Block, state: WordVectors, elimination: Elimination, j: int, priority: Tensor | None, training: bool
) -> WordVectors:
    """Self-attention, then only the word-vectors that layer j (0-based) keeps.

    Args:
        priority: (ℓ,) of Rand-WS, see `position_scores`; else None.
    """
    projections = block.project(state.vectors, state.positions)
    bias = _bias(block, state)
    scores = _scores(elimination, projections, state, bias, priority)
    index, kept_mask = choose(elimination, j, scores, state.mask, state.shield)
    if elimination.merges:
        assert state.weights is not None
        context = _attend(block, projections, state, bias, training)
        merged, weights = merge_dropped(block.join(context, state.vectors, training), index, kept_mask, state.weights)
        return state.keep(merged, index, kept_mask)._replace(weights=weights)
    q, k, v = projections
    kept_q = split_heads(gather_vectors(q.transpose(1, 2).flatten(2), index), block.heads)
    if bias is not None:
        rows_of_bias = index[:, None, :, None].expand(-1, bias.shape[1], -1, bias.shape[-1])
        bias = bias.expand(len(index), -1, -1, -1).gather(2, rows_of_bias)
    context = _attend(block, (kept_q, k, v), state, bias, training)
    kept = block.join(context, gather_vectors(state.vectors, index), training)
    return state.keep(kept, index, kept_mask)


def attend_and_score(
    block: Block, state: WordVectors, elimination: Elimination, priority: Tensor | None, training: bool
) -> tuple[WordVectors, Tensor]:
    """Self-attention that keeps every word-vector, and their scores (B, N)."""
    projections = block.project(state.vectors, state.positions)
    bias = _bias(block, state)
    scores = _scores(elimination, projections, state, bias, priority)
    context = _attend(block, projections, state, bias, training)
    return state._replace(vectors=block.join(context, state.vectors, training)), scores
