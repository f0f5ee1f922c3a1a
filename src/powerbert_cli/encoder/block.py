"""One encoder block, with the place where word-vectors are eliminated.

Modified from the usual BERT block in one respect: after self-attention and its LayerNorm the
word-vectors can be dropped (extract) or scaled (soft-extract), before the feed-forward part.
When they are dropped, A·V, the output projection, the residual and the norm are computed for
the kept rows only.
"""

import torch.nn.functional as F
from torch import Tensor

from ..method.selection import gather_vectors, select, significance_order
from ..method.significance import significance_from_projections
from ..method.soft_extract import scale_by_rank
from .families import BlockView


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, N, D) -> (B, H, N, D/H)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)  # (B, H, N, D/H) -> (B, N, D)


def _project(block: BlockView, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(_heads(layer(x), block.heads) for layer in (block.query, block.key, block.value))  # type: ignore


def _fused(block: BlockView, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, training: bool) -> Tensor:
    """softmax(q·kᵀ)·v without the weights in memory: (B, H, K, D/H) queries in, the same out."""
    bias = None if mask is None else mask[:, None, None, :]
    dropout = block.attention_dropout if training else 0.0
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)


def _after_attention(block: BlockView, context: Tensor, residual: Tensor, training: bool) -> Tensor:
    projected = F.dropout(block.output(_merge(context)), block.hidden_dropout, training)
    return block.norm1(residual + projected)


def feed_forward(block: BlockView, x: Tensor, training: bool) -> Tensor:
    """Feed-forward part with residual and norm: (B, N, D) → (B, N, D)."""
    down = F.dropout(block.down(block.activation(block.up(x))), block.hidden_dropout, training)
    return block.norm2(x + down)


def attend(block: BlockView, x: Tensor, mask: Tensor | None, training: bool) -> Tensor:
    """Self-attention that keeps every word-vector: (B, N, D) → (B, N, D)."""
    q, k, v = _project(block, x)
    return _after_attention(block, _fused(block, q, k, v, mask, training), x, training)


def attend_and_extract(
    block: BlockView, x: Tensor, mask: Tensor | None, keep: int, protected: int, training: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Self-attention, then only the `keep` most significant word-vectors of each input.

    Returns:
        The kept word-vectors (B, K, D) after norm1, their mask (B, K) or None, and their
        positions (B, K) among the N that came in.
    """
    q, k, v = _project(block, x)
    index = select(significance_from_projections(q, k, mask), keep, mask, protected)  # (B, K)
    rows = index[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[-1])
    context = _fused(block, q.gather(2, rows), k, v, mask, training)  # (B, H, K, D/H)
    kept = _after_attention(block, context, gather_vectors(x, index), training)
    return kept, None if mask is None else mask.gather(1, index), index


def attend_and_scale(
    block: BlockView, x: Tensor, mask: Tensor | None, r: Tensor, protected: int, training: bool
) -> Tensor:
    """Self-attention, then each word-vector times the retention parameter of its rank."""
    q, k, v = _project(block, x)
    order = significance_order(significance_from_projections(q, k, mask), mask, protected)
    after = _after_attention(block, _fused(block, q, k, v, mask, training), x, training)
    return scale_by_rank(after, r, order)
