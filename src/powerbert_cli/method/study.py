"""What PoWER-BERT argues with: word-vectors grow alike, and some carry what the answers need (Figures 2 and 3b)."""

import numpy as np
import torch.nn.functional as F
from sklearn.metrics import mutual_info_score
from torch import Tensor

_RESAMPLES = 1000


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


def mutual_information(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Between two models' predicted classes of the same inputs, (n,) each, in nats, with its 95% bootstrap interval.

    With itself it is the entropy of the predictions.
    """
    classes = np.union1d(one, other)
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (np.searchsorted(classes, one), np.searchsorted(classes, other)), 1)
    drawn = np.random.default_rng(0).multinomial(len(one), table.flatten() / len(one), size=_RESAMPLES)
    values = [mutual_info_score(None, None, contingency=_without_empty(d.reshape(table.shape))) for d in drawn]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(mutual_info_score(one, other)), float(low), float(high)


def _without_empty(table: np.ndarray) -> np.ndarray:
    return table[table.any(axis=1)][:, table.any(axis=0)]
