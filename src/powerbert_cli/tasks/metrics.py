"""Task metrics with intervals, by scikit-learn and scipy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics as sk

Array = np.ndarray
_RESAMPLES = 1000
_CONFIDENCE = 0.95
_AT_ONCE = 4_000_000  # drawn examples of resamples that are in memory together


# Accuracy, F1 and Matthews give what scikit-learn gives, without its checks of the arrays: these take milliseconds a
# call, and an interval takes a thousand calls.
def _accuracy(labels: Array, predictions: Array, sample_weight: Array | None = None) -> float:
    right = labels == predictions
    return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=sample_weight))


def _f1(labels: Array, predictions: Array, sample_weight: Array | None = None) -> float:
    """Of the second class; with several labels per example over all of them (micro average)."""
    true, guessed = labels == 1, predictions == 1
    weights = np.ones(len(labels)) if sample_weight is None else sample_weight
    right, all_true, all_guessed = ((weights @ found).sum() for found in (true & guessed, true, guessed))
    return float(2 * right / (all_true + all_guessed)) if all_true + all_guessed else 0.0


def _matthews(labels: Array, predictions: Array, sample_weight: Array | None = None) -> float:
    """Of any number of classes, from the table of labels against predictions (Gorodkin, 2004)."""
    classes, both = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    table = np.zeros((len(classes), len(classes)))
    np.add.at(table, (both[: len(labels)], both[len(labels) :]), 1.0 if sample_weight is None else sample_weight)
    n, true, guessed = table.sum(), table.sum(axis=1), table.sum(axis=0)
    spread = np.sqrt((n**2 - true @ true) * (n**2 - guessed @ guessed))
    return float((np.trace(table) * n - true @ guessed) / spread) if spread else 0.0


def _macro_f1(labels: Array, predictions: Array, **weights: Array) -> float:
    """The mean over the classes that are there."""
    return float(sk.f1_score(labels, predictions, average="macro", zero_division=0, **weights))


def _correlation(function: Callable[..., float]) -> Callable[..., float]:
    def score(labels: Array, predictions: Array, **weights: Array) -> float:
        if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
            return 0.0  # a constant has no correlation
        return float(function(labels, predictions, **weights))

    return score


# (labels, predictions) → score; those of classes also take sample_weight
METRICS: dict[str, Callable[..., float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _correlation(_matthews),
    "pearson": _correlation(lambda labels, predictions: stats.pearsonr(labels, predictions).statistic),
    "spearman": _correlation(lambda labels, predictions: stats.spearmanr(labels, predictions).statistic),
}
_OF_VALUES = ("pearson", "spearman")
_FROM_MINUS_ONE = ("matthews", *_OF_VALUES)
# What else is reported beside a headline metric, as GLUE does.
COMPANIONS = {
    "f1": ("accuracy",),
    "macro_f1": ("accuracy",),
    "matthews": ("accuracy",),
    "spearman": ("pearson",),
    "pearson": ("spearman",),
    "accuracy": (),
}


def range_of(metric: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have: where the axis of a picture ends."""
    return (-1.0 if metric in _FROM_MINUS_ONE else 0.0), 1.0


def undefined_on(metric: str, labels: Array) -> str | None:
    """Why a metric means nothing on these labels, (n,) or (n, C); None if it does."""
    if metric in _OF_VALUES:
        if len(labels) < 3:
            return f"{len(labels)} rows have a correlation of 1 or -1 whatever is predicted; give at least three rows"
        return f"all {len(labels)} rows have the same value" if np.ptp(labels) == 0 else None
    if metric == "matthews" and np.ptp(labels) == 0:
        return f"all {len(labels)} rows are of one class; give rows of two, or set task.metric=accuracy"
    if metric == "f1" and not (labels > 0).any():
        return f"none of {len(labels)} rows has the class that it counts; give some, or set task.metric=accuracy"
    return None


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


def _bootstrap(metric: str, statistic: Callable[..., float], columns: Sequence[Array]) -> Array:
    """Values of a statistic of the columns on resamples of the examples, (resamples,).

    Neither memory nor, for classes, time grow with resamples times examples: equal examples are drawn
    together, as how often each kind is drawn is multinomial.
    """
    rng, n = np.random.default_rng(0), len(columns[0])
    if metric in _OF_VALUES:
        result = stats.bootstrap(
            (np.arange(n),),
            lambda drawn: statistic(*(column[drawn] for column in columns)),
            vectorized=False,
            n_resamples=_RESAMPLES,
            batch=max(1, _AT_ONCE // n),
            method="percentile",
            rng=rng,
        )
        return np.asarray(result.bootstrap_distribution)
    _, kinds, counts = np.unique(np.column_stack(columns), axis=0, return_index=True, return_counts=True)
    values = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        weights = rng.multinomial(n, counts / n)
        drawn = kinds[weights > 0]
        values[i] = statistic(*(column[drawn] for column in columns), sample_weight=weights[weights > 0])
    return values


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)])
    return float(low), float(high)


def interval(metric: str, labels: Array, predictions: Array) -> tuple[float, float]:
    """95% bootstrap interval of the metric over the examples."""
    return _percentiles(_bootstrap(metric, METRICS[metric], (labels, predictions)))


def within(drop: Any, limit: float) -> Any:
    """Whether a drop, or each of an array, is at most the limit; a hair above is rounding: 0.01 is no sum of
    binary fractions."""
    return drop <= limit + 1e-9


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
    score = METRICS[metric]

    def lost(labels: Array, baseline: Array, shortened: Array, **weights: Array) -> float:
        return score(labels, baseline, **weights) - score(labels, shortened, **weights)

    drops = _bootstrap(metric, lost, (labels, baseline, shortened))
    return Drop(*_percentiles(drops), float(np.mean(within(drops, limit))))


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
