"""Task metrics with intervals, by scikit-learn and scipy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk

Array = np.ndarray
_RESAMPLES = 1000
_CONFIDENCE = 0.95


def right(labels: Array, predictions: Array) -> Array:
    """Whether each example is answered right, (n,) bool: in all its labels if there are several."""
    same = labels == predictions
    return same if same.ndim == 1 else same.all(axis=-1)


def _correlation(function: Callable[[Array, Array], float]) -> Callable[[Array, Array], float]:
    def score(labels: Array, predictions: Array) -> float:
        if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
            return 0.0  # a constant has no correlation
        return float(function(labels, predictions))

    return score


def _f1(labels: Array, predictions: Array) -> float:
    """Of the second class; with several labels per example over all of them (micro average)."""
    average = "binary" if labels.ndim == 1 else "micro"
    return float(sk.f1_score(labels, predictions, average=average, zero_division=0))


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": lambda labels, predictions: float(sk.accuracy_score(labels, predictions)),
    "f1": _f1,
    "matthews": _correlation(sk.matthews_corrcoef),
    "pearson": _correlation(lambda labels, predictions: stats.pearsonr(labels, predictions).statistic),
    "spearman": _correlation(lambda labels, predictions: stats.spearmanr(labels, predictions).statistic),
}
# What else is reported beside a headline metric, as GLUE does.
COMPANIONS = {
    "f1": ("accuracy",),
    "matthews": ("accuracy",),
    "spearman": ("pearson",),
    "pearson": ("spearman",),
    "accuracy": (),
}


def predictions_of(logits: Array, kind: str) -> Array:
    """Logits (n, C) of a kind of task to what is predicted.

    Returns:
        (n,) classes or choices, (n,) values of a regression, or (n, C) 0 and 1 of a multi-label task.
    """
    if kind == "regression":
        return logits.reshape(-1)
    if kind == "multi_label":
        return (logits > 0).astype(np.int64)
    return logits.argmax(axis=-1)


def score_of_authors_code(labels: Array, predictions: Array, regression: bool, batch_size: int) -> float:
    """What the authors' code selects models by: accuracy, or Pearson averaged over batches."""
    if not regression:
        return METRICS["accuracy"](labels, predictions)
    starts = range(0, len(labels), batch_size)
    return float(
        np.mean([METRICS["pearson"](labels[i : i + batch_size], predictions[i : i + batch_size]) for i in starts])
    )


def all_scores(metric: str, labels: Array, predictions: Array) -> dict[str, float]:
    """The headline metric and its companions, each a number up to 1."""
    return {name: METRICS[name](labels, predictions) for name in (metric, *COMPANIONS[metric])}


def _bootstrap(statistic: Callable[..., Any], sample: Array, vectorized: bool) -> Array:
    """Values of the statistic on resamples of the examples, (resamples,)."""
    result = stats.bootstrap(
        (sample,),
        statistic,
        vectorized=vectorized,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return np.asarray(result.bootstrap_distribution)


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)])
    return float(low), float(high)


def interval(metric: str, labels: Array, predictions: Array) -> tuple[float, float]:
    """95% bootstrap interval of the metric over the examples."""
    if metric == "accuracy":  # a mean over examples: all resamples at once
        return _percentiles(_bootstrap(np.mean, right(labels, predictions).astype(float), vectorized=True))
    scores = _bootstrap(lambda i: METRICS[metric](labels[i], predictions[i]), np.arange(len(labels)), vectorized=False)
    return _percentiles(scores)


@dataclass(frozen=True)
class Drop:
    """metric(baseline) - metric(shortened) on the same examples.

    Attributes:
        low, high: 95% paired bootstrap interval.
        confidence: share of the resamples in which the drop is within the limit.
    """

    low: float
    high: float
    confidence: float


def paired_drop(metric: str, labels: Array, baseline: Array, shortened: Array, limit: float) -> Drop:
    """Paired bootstrap over the examples of how much of the metric is lost.

    Args:
        limit: largest drop that counts as none.
    """
    if metric == "accuracy":
        lost = right(labels, baseline).astype(float) - right(labels, shortened)
        drops = _bootstrap(np.mean, lost, vectorized=True)
    else:
        score = METRICS[metric]
        drops = _bootstrap(
            lambda i: score(labels[i], baseline[i]) - score(labels[i], shortened[i]),
            np.arange(len(labels)),
            vectorized=False,
        )
    # a hair above the limit is rounding: 0.01 is no sum of binary fractions
    return Drop(*_percentiles(drops), float(np.mean(drops <= limit + 1e-9)))


@dataclass(frozen=True)
class Spread:
    """Mean of a value over seeds, standard deviation, and 95% t-interval of the mean."""

    mean: float
    std: float
    low: float
    high: float


def spread(values: Array) -> Spread:
    """Of at least two values, one for each seed."""
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * std / len(values) ** 0.5
    return Spread(mean, std, mean - half, mean + half)
