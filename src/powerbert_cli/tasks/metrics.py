"""Task metrics with intervals, by scikit-learn and scipy."""

from collections.abc import Callable
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


def _bootstrap(statistic: Callable[..., Any], sample: Array, vectorized: bool) -> tuple[float, float]:
    result = stats.bootstrap(
        (sample,),
        statistic,
        vectorized=vectorized,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def interval(metric: str, labels: Array, predictions: Array) -> tuple[float, float]:
    """95% bootstrap interval of the metric over the examples."""
    if metric == "accuracy":  # a mean over examples: all resamples at once
        return _bootstrap(np.mean, right(labels, predictions).astype(float), vectorized=True)
    return _bootstrap(lambda i: METRICS[metric](labels[i], predictions[i]), np.arange(len(labels)), vectorized=False)


def drop_interval(metric: str, labels: Array, baseline: Array, shortened: Array) -> tuple[float, float]:
    """95% paired bootstrap interval of metric(baseline) - metric(shortened) on the same examples."""
    if metric == "accuracy":
        lost = right(labels, baseline).astype(float) - right(labels, shortened)
        return _bootstrap(np.mean, lost, vectorized=True)

    def drop(i: Array) -> float:
        return METRICS[metric](labels[i], baseline[i]) - METRICS[metric](labels[i], shortened[i])

    return _bootstrap(drop, np.arange(len(labels)), vectorized=False)
