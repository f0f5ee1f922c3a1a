"""Task metrics with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from . import sums
from .answer_scores import exact, overlap

Array = np.ndarray
_RESAMPLES = 1000
_CONFIDENCE = 0.95
_AT_ONCE = 4_000_000  # drawn examples of resamples that are in memory together


@dataclass(frozen=True)
class Sums:
    """A metric of sums over the examples, which an interval draws a thousand times: each example is looked at once.

    Attributes:
        parts: (labels, predictions), (n, …) each → (n, P), what each example adds.
        value: sums of parts (…, P) → the metric (…).
    """

    parts: Callable[[Array, Array], Array]
    value: Callable[[Array], Array]

    def __call__(self, labels: Array, predictions: Array) -> float:
        return float(self.value(self.parts(labels, predictions).sum(axis=0)))


@dataclass(frozen=True)
class Correlation:
    """A metric of all examples together."""

    function: Callable[[Array, Array], Any]

    def __call__(self, labels: Array, predictions: Array) -> float:
        if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
            return 0.0  # a constant has no correlation
        return float(self.function(labels, predictions).statistic)


METRICS: dict[str, Sums | Correlation] = {
    "accuracy": Sums(sums.accurate, sums.mean),
    "f1": Sums(sums.both_true_guessed, sums.f1),
    "macro_f1": Sums(sums.by_class, sums.macro_f1),
    "matthews": Sums(sums.by_class, sums.matthews),
    "span_f1": Sums(sums.spans, sums.f1),
    "span_precision": Sums(sums.spans, sums.precision),
    "span_recall": Sums(sums.spans, sums.mean),
    "ndcg_10": Sums(sums.ranked(sums.ndcg), sums.mean),
    "mrr_10": Sums(sums.ranked(sums.reciprocal), sums.mean),
    "map": Sums(sums.ranked(sums.precise), sums.mean),
    "answer_f1": Sums(overlap, sums.mean),
    "exact_match": Sums(exact, sums.mean),
    "word_accuracy": Sums(sums.word_errors, sums.right_of),
    "character_accuracy": Sums(sums.character_errors, sums.right_of),
    "wer": Sums(sums.word_errors, sums.mean),
    "cer": Sums(sums.character_errors, sums.mean),
    "pearson": Correlation(stats.pearsonr),
    "spearman": Correlation(stats.spearmanr),
}
_OF_VALUES = ("pearson", "spearman")
_BELOW_ZERO = ("word_accuracy", "character_accuracy")  # errors may be more than words
_FROM_MINUS_ONE = ("matthews", *_OF_VALUES)
# What else is reported beside a headline metric, as GLUE does.
COMPANIONS = {
    "f1": ("accuracy",),
    "macro_f1": ("accuracy",),
    "matthews": ("accuracy",),
    "spearman": ("pearson",),
    "pearson": ("spearman",),
    "accuracy": (),
    "span_f1": ("span_precision", "span_recall"),
    "span_precision": ("span_f1", "span_recall"),
    "span_recall": ("span_f1", "span_precision"),
    "ndcg_10": ("mrr_10", "map"),
    "mrr_10": ("ndcg_10", "map"),
    "map": ("ndcg_10", "mrr_10"),
    "answer_f1": ("exact_match",),
    "exact_match": ("answer_f1",),
    "word_accuracy": ("wer", "cer"),
    "character_accuracy": ("cer", "wer"),
}


def range_of(metric: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have: where the axis of a picture ends."""
    if metric in _BELOW_ZERO:
        return -np.inf, 1.0
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


def score_of_authors_code(labels: Array, predictions: Array, regression: bool, batch_size: int) -> float:
    """What the authors' code selects models by: accuracy, or Pearson averaged over batches."""
    if not regression:
        return METRICS["accuracy"](labels, predictions)
    starts = range(0, len(labels), batch_size)
    return float(
        np.mean([METRICS["pearson"](labels[i : i + batch_size], predictions[i : i + batch_size]) for i in starts])
    )


def all_scores(metric: str, labels: Array, predictions: Array) -> dict[str, float]:
    """The headline metric and its companions, each a number up to 1; of the errors wer and cer less is better."""
    return {name: METRICS[name](labels, predictions) for name in (metric, *COMPANIONS[metric])}


def _drawn(metric: str, labels: Array, predictions: Sequence[Array]) -> Array:
    """The metric of each of some predictions on the same resamples of the examples, (predictions, resamples).

    Neither memory nor time grow with resamples times examples where a metric is of sums: equal examples are drawn
    together, as how often each kind of them is drawn is multinomial.
    """
    rng, n, of = np.random.default_rng(0), len(labels), METRICS[metric]
    if isinstance(of, Sums):
        parts = [of.parts(labels, one) for one in predictions]
        kinds, counts = np.unique(np.concatenate(parts, axis=1), axis=0, return_counts=True)
        added = np.stack([rng.multinomial(n, counts / n) @ kinds for _ in range(_RESAMPLES)])
        ends = np.cumsum([one.shape[1] for one in parts])[:-1]
        return np.stack([of.value(own) for own in np.split(added, ends, axis=1)])

    def scores(drawn: Array) -> Array:
        return np.array([of(labels[drawn], one[drawn]) for one in predictions])

    result = stats.bootstrap(
        (np.arange(n),),
        lambda drawn: scores(drawn) if len(predictions) > 1 else scores(drawn)[0],
        vectorized=False,
        n_resamples=_RESAMPLES,
        batch=max(1, _AT_ONCE // n),
        method="percentile",
        rng=rng,
    )
    return np.atleast_2d(result.bootstrap_distribution)


def _percentiles(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)])
    return float(low), float(high)


def interval(metric: str, labels: Array, predictions: Array) -> tuple[float, float]:
    """95% bootstrap interval of the metric over the examples."""
    return _percentiles(_drawn(metric, labels, [predictions])[0])


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
    whole, short = _drawn(metric, labels, [baseline, shortened])
    drops = whole - short
    return Drop(*_percentiles(drops), float(np.mean(within(drops, limit))))


@dataclass(frozen=True)
class Spread:
    """Mean of a value over seeds, standard deviation, and 95% t-interval of the mean."""

    mean: float
    std: float
    low: float
    high: float


def spread(values: Array, ends: tuple[float, float] = (-np.inf, np.inf)) -> Spread:
    """Of at least two values, one for each seed.

    Args:
        ends: the least and the greatest value that there can be, beyond which no interval goes; see `range_of`.
    """
    mean, std = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * std / len(values) ** 0.5
    return Spread(mean, std, max(ends[0], mean - half), min(ends[1], mean + half))
