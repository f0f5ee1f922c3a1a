"""What PoWER-BERT argues with: word-vectors grow alike (Figure 2)."""

import torch.nn.functional as F
from torch import Tensor


def mean_cosine(vectors: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean cosine of the pairs of different word-vectors of each input: (B, N, D) → (B,); NaN of one alone.

    Args:
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
    """
    directions = F.normalize(vectors.double(), dim=-1)
    if mask is not None:
        directions = directions * mask.unsqueeze(-1)
    n = directions.square().sum(dim=(1, 2))  # each real one has length 1
    return (directions.sum(dim=1).square().sum(dim=-1) - n) / (n * (n - 1)).clamp(min=0)
