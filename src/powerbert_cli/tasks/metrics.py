"""Task metrics with intervals, by scikit-learn and scipy."""

from collections.abc import Callable

import numpy as np
from scipy import stats
from sklearn import metrics as sk

Array = np.ndarray
_RESAMPLES = 1000
_CONFIDENCE = 0.95


def _correlation(function: Callable[[Array, Array], float]) -> Callable[[Array, Array], float]:
    def score(labels: Array, predictions: Array) -> float:
        if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
            return 0.0  # a constant has no correlation
        return float(function(labels, predictions))

    return score


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": lambda labels, predictions: float(sk.accuracy_score(labels, predictions)),
    "f1": lambda labels, predictions: float(sk.f1_score(labels, predictions, zero_division=0)),
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


def predictions_of(logits: Array, regression: bool) -> Array:
    """Logits (n, C) to classes (n,), or to the value of a regression."""
    return logits.reshape(-1) if regression else logits.argmax(axis=-1)


def all_scores(metric: str, labels: Array, predictions: Array) -> dict[str, float]:
    """The headline metric and its companions, each a number up to 1."""
    return {name: METRICS[name](labels, predictions) for name in (metric, *COMPANIONS[metric])}


def _bootstrap(statistic: Callable[[Array], float], n: int) -> tuple[float, float]:
    indices = np.arange(n)
    result = stats.bootstrap(
        (indices,),
        statistic,
        vectorized=False,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def interval(metric: str, labels: Array, predictions: Array) -> tuple[float, float]:
    """95% bootstrap interval of the metric over the examples."""
    return _bootstrap(lambda i: METRICS[metric](labels[i], predictions[i]), len(labels))


def drop_interval(metric: str, labels: Array, baseline: Array, shortened: Array) -> tuple[float, float]:
    """95% paired bootstrap interval of metric(baseline) - metric(shortened) on the same examples."""

    def drop(i: Array) -> float:
        return METRICS[metric](labels[i], baseline[i]) - METRICS[metric](labels[i], shortened[i])

    return _bootstrap(drop, len(labels))
