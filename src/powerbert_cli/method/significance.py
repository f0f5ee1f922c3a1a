"""Significance scores of word-vectors (PoWER-BERT, section 3.2)."""

import math

import torch
from torch import Tensor

from .kernels import scores_by, triton_kernels

# On a CPU the attention matrices of a few inputs at a time stay in the cache; at n = 256 that
# takes less than half the time of writing all B·H·N·N weights to memory and reading them back.
_CPU_CHUNK_BYTES = 4 * 2**20


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
        over_heads = attention.detach().sum(dim=1, dtype=torch.float32)  # (B, N, N)
        if not diagonal:
            over_heads.diagonal(dim1=1, dim2=2).zero_()
        queries = None if mask is None or pad_queries else mask.float()
        if survival is not None:
            queries = survival.float() if queries is None else queries * survival
        if queries is None:
            return over_heads.sum(dim=1)
        return torch.bmm(queries.unsqueeze(1), over_heads).squeeze(1)  # (B, N)


def normalise(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scores over the mean score of the input's real word-vectors: 1 is average. (B, N) → (B, N).

    A mask of numbers says how much each word-vector counts.
    """
    if mask is None:
        return scores / scores.mean(dim=-1, keepdim=True)
    real = mask.to(scores.dtype)
    return scores * real.sum(dim=-1, keepdim=True) / (scores * real).sum(dim=-1, keepdim=True)


def significance_from_projections(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    diagonal: bool = True,
    pad_queries: bool = False,
    survival: Tensor | None = None,
) -> Tensor:
    """Significance without keeping the attention matrix: a light pass beside fused attention.

    Args:
        query: (B, H, N, D/H), not yet scaled.
        key: (B, H, N, D/H).
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        bias: (B or 1, H or 1, N, N) added to the scaled scores (relative positions, local
            windows), without -inf; None for none.
        diagonal, pad_queries, survival: see `significance`; with survival there is a bias.

    Returns:
        (B, N) float32, without gradient; equals `significance` of the softmax of the scaled scores.
    """

    def by_torch() -> Tensor:
        return _in_chunks(query, key, mask, bias, diagonal, pad_queries, survival)

    def by_triton() -> Tensor:
        kernels = triton_kernels()
        assert kernels is not None
        return kernels.significance_kernel(query.detach(), key.detach(), mask, diagonal, pad_queries)

    with torch.no_grad():
        return scores_by(query, bias is not None, by_torch, by_triton)


def _in_chunks(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    diagonal: bool,
    pad_queries: bool,
    survival: Tensor | None,
) -> Tensor:
    """A few inputs at a time on a CPU."""

    def column_sums(part: slice) -> Tensor:
        part_mask, counts = (None if given is None else given[part] for given in (mask, survival))
        return significance(attention_weights(query, key, mask, bias, part), part_mask, diagonal, pad_queries, counts)

    return torch.cat([column_sums(part) for part in chunks(query)])


def chunks(query: Tensor) -> list[slice]:
    """Which inputs to take at a time, so that on a CPU their attention weights stay in the cache; else all.

    Args:
        query: (B, H, N, D/H).
    """
    batch, heads, n, _ = query.shape
    if query.device.type != "cpu" or isinstance(batch, torch.SymInt) or isinstance(n, torch.SymInt):
        return [slice(None)]
    size = max(1, _CPU_CHUNK_BYTES // (heads * n * n * query.element_size()))
    return [slice(start, start + size) for start in range(0, batch, size)]


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, bias: Tensor | None, part: slice = slice(None)
) -> Tensor:
    """softmax(q·kᵀ/√(D/H) + bias) of some of the inputs, (b, H, N, N), without gradient.

    Args: as of `significance_from_projections`, for all inputs.
    """
    query, key, scale = query.detach()[part], key.detach()[part], 1.0 / math.sqrt(query.shape[-1])
    # scaling and masking inside the product save passes over the queries and over the scores
    padding, beta = query.new_empty(()), 0
    if mask is not None:
        padding, beta = query.new_zeros(query.shape[0], query.shape[1], 1, key.shape[2]), 1  # (b, H, 1, N)
        padding = padding.masked_fill(~mask[part][:, None, None, :], float("-inf")).flatten(0, 1)
    scores = torch.baddbmm(padding, query.flatten(0, 1), key.flatten(0, 1).mT, beta=beta, alpha=scale)
    scores = scores.unflatten(0, (-1, query.shape[1]))  # (b, H, N, N)
    if bias is not None:
        scores += bias.detach() if bias.shape[0] == 1 else bias.detach()[part]
    return scores.softmax(dim=-1)
