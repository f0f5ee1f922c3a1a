"""Merging: a dropped word-vector goes on inside the kept one that is most like it, as in ToMe (Bolya et al., 2023).

[CLS] takes in none, and in attention a key counts as often as the word-vectors that it stands for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def proportional(weights: Tensor) -> Tensor:
    """What the scaled scores of keys gain that stand for so many word-vectors: softmax(q·kᵀ/√d + log s); any shape."""
    return weights.clamp(min=1).log()  # padding, of weight 0, is masked elsewhere


def merge_dropped(vectors: Tensor, index: Tensor, kept_mask: Tensor | None, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Averages each dropped word-vector into the kept one of highest cosine similarity.

    The average is weighted: a word-vector that has already taken in others counts as often as
    the inputs that it stands for, so the result does not depend on the order of merging.

    Args:
        vectors: (B, N, D), all word-vectors of a layer.
        index: (B, K) positions of the kept ones.
        kept_mask: (B, K) bool, True for real word-vectors; None if all are.
        weights: (B, N) float, how many word-vectors each stands for; 0 for padding.

    Returns:
        The kept word-vectors with what was merged into them (B, K, D), and their weights (B, K).
        The weights of an input keep their sum, unless [CLS] alone is kept: then the dropped are lost.
    """
    real = torch.ones_like(index, dtype=torch.bool) if kept_mask is None else kept_mask
    takes = real & (index > 0)  # not [CLS]
    target = _most_alike(vectors, index, kept_mask, takes)  # (B, N)
    stays = torch.zeros_like(weights, dtype=torch.bool).scatter(1, index, real)
    shares = (weights * (stays | takes.any(dim=1, keepdim=True))).unsqueeze(-1).to(torch.float32)
    total = torch.zeros(index.shape, device=vectors.device).scatter_add(1, target, shares.squeeze(-1))
    sums = torch.zeros(*index.shape, vectors.shape[-1], device=vectors.device).scatter_add(
        1, target.unsqueeze(-1).expand_as(vectors), vectors.float() * shares
    )
    merged = sums / total.clamp(min=1).unsqueeze(-1)
    return merged.to(vectors.dtype), total


@torch.no_grad()
def _most_alike(vectors: Tensor, index: Tensor, kept_mask: Tensor | None, takes: Tensor) -> Tensor:
    """For each word-vector the place (0 … K-1) of the one most like it among those that take in (B, K).

    A kept one is its own.
    """
    unit = F.normalize(vectors.detach().float(), dim=-1)
    kept = unit.gather(1, index.unsqueeze(-1).expand(-1, -1, unit.shape[-1]))
    alike = unit @ kept.transpose(1, 2)  # (B, N, K)
    alike = alike.masked_fill(~takes[:, None, :], float("-inf"))
    target = alike.argmax(dim=-1)
    places = torch.arange(index.shape[1], device=index.device).expand_as(index)
    if kept_mask is not None:  # what only fills an input up is dropped too
        places = torch.where(kept_mask, places, target.gather(1, index))
    return target.scatter(1, index, places)
