"""Merging: a dropped word-vector goes on inside the kept one that is most like it."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
        The weights of an input keep their sum.
    """
    target = _most_alike(vectors, index, kept_mask)  # (B, N)
    shares = weights.unsqueeze(-1).to(torch.float32)
    total = torch.zeros(index.shape, device=vectors.device).scatter_add(1, target, shares.squeeze(-1))
    sums = torch.zeros(*index.shape, vectors.shape[-1], device=vectors.device).scatter_add(
        1, target.unsqueeze(-1).expand_as(vectors), vectors.float() * shares
    )
    merged = sums / total.clamp(min=1).unsqueeze(-1)
    return merged.to(vectors.dtype), total


@torch.no_grad()
def _most_alike(vectors: Tensor, index: Tensor, kept_mask: Tensor | None) -> Tensor:
    """For each word-vector the place (0 … K-1) of the kept one most like it; a kept one is its own."""
    unit = F.normalize(vectors.detach().float(), dim=-1)
    kept = unit.gather(1, index.unsqueeze(-1).expand(-1, -1, unit.shape[-1]))
    alike = unit @ kept.transpose(1, 2)  # (B, N, K)
    if kept_mask is not None:
        alike = alike.masked_fill(~kept_mask[:, None, :], float("-inf"))
    target = alike.argmax(dim=-1)
    places = torch.arange(index.shape[1], device=index.device).expand_as(index)
    if kept_mask is not None:  # what only fills an input up is dropped too
        places = torch.where(kept_mask, places, target.gather(1, index))
    return target.scatter(1, index, places)
