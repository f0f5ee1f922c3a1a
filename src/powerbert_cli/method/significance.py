"""Significance scores of word-vectors (PoWER-BERT, section 3.2)."""

import math

import torch
from torch import Tensor


def significance(
    attention: Tensor,
    mask: Tensor | None = None,
    diagonal: bool = True,
    pad_queries: bool = False,
    survival: Tensor | None = None,
) -> Tensor:
    """Attention that each word-vector receives: Sig(w) = Σ_h Σ_w' A_h[w', w].

    The paper sums over all queries w'. Queries that are padding are left out by default, so that
    the score of a word-vector, and thus what is eliminated, never depends on the padding.

    Args:
        attention: (B, H, N, N), rows (queries) sum to 1.
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        diagonal: count what a word-vector takes from itself (the authors' code does not).
        pad_queries: count what padding takes (the authors' code does).
        survival: (B, N) in [0, 1], how much each query counts (soft thresholds); None for all alike.

    Returns:
        (B, N) float32, without gradient: only the order of the scores is used.
    """
    with torch.no_grad():
        attention = attention.detach()
        queries = None if mask is None or pad_queries else mask.float()
        if survival is not None:
            queries = survival.float() if queries is None else queries * survival
        if diagonal and queries is None:
            return attention.sum(dim=(1, 2), dtype=torch.float32)
        if diagonal and queries is not None and attention.dtype == torch.float32:  # all heads' rows at once
            counts = queries.unsqueeze(1).expand(attention.shape[:3]).flatten(1).unsqueeze(1)  # (B, 1, H·N)
            return torch.bmm(counts, attention.flatten(1, 2)).squeeze(1)
        over_heads = attention.sum(dim=1, dtype=torch.float32)  # (B, N, N)
        if not diagonal:
            over_heads.diagonal(dim1=1, dim2=2).zero_()
        return over_heads.sum(dim=1) if queries is None else torch.bmm(queries.unsqueeze(1), over_heads).squeeze(1)


def normalise(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scores over the mean score of the input's real word-vectors: 1 is average. (B, N) → (B, N).

    A mask of numbers says how much each word-vector counts.
    """
    if mask is None:
        return scores / scores.mean(dim=-1, keepdim=True)
    real = mask.to(scores.dtype)
    return scores * real.sum(dim=-1, keepdim=True) / (scores * real).sum(dim=-1, keepdim=True)


@torch.no_grad()
def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """softmax(q·kᵀ/√(D/H) + bias), (B, H, K, N), without gradient.

    Args:
        query: (B, H, K, D/H), not yet scaled.
        key: (B, H, N, D/H).
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        bias: (B or 1, H or 1, K, N) added to the scaled scores (relative positions, local
            windows), without -inf; None for none.
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    # scaling and masking inside the product save passes over the queries and over the scores
    padding, beta = query.new_empty(()), 0
    if mask is not None:
        padding, beta = query.new_zeros(query.shape[0], query.shape[1], 1, key.shape[2]), 1  # (B, H, 1, N)
        padding = padding.masked_fill(~mask[:, None, None, :], float("-inf")).flatten(0, 1)
    scores = torch.baddbmm(padding, query.flatten(0, 1), key.flatten(0, 1).mT, beta=beta, alpha=scale)
    scores = scores.unflatten(0, (-1, query.shape[1]))
    if bias is not None:
        scores += bias
    return scores.softmax(dim=-1)
