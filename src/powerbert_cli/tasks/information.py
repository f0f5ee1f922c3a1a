"""What the answers of two models share (Figure 3b of PoWER-BERT)."""

import numpy as np
from sklearn.metrics import mutual_info_score

_RESAMPLES = 1000


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
