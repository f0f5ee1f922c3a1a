"""How many times as fast one contender is as another, from rounds in which both ran."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

_CONFIDENCE = 0.95


def speedup(baseline: Sequence[float], contender: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of the rounds' ratios, with a 95% t-interval.

    A round gives one ratio, in which whatever slowed both cancels. The interval is Student's, on the logarithms of
    these ratios: it covers 95% from two rounds on, however few, and is the wider the fewer. The point lies inside it.

    Args:
        baseline, contender: seconds of each, (rounds,), in the order of the rounds.

    Returns:
        ratio, low, high; low and high are NaN where a single round was done.
    """
    base, other = np.asarray(baseline, dtype=float), np.asarray(contender, dtype=float)
    if base is other or np.array_equal(base, other):
        return 1.0, 1.0, 1.0
    mean, half = _mean_of_logs(np.log(base) - np.log(other))
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))


def mean_of_ratios(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The same of ratios that are known, as those of several seeds."""
    mean, half = _mean_of_logs(np.log(np.asarray(ratios, dtype=float)))
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))


def typical(seconds: Sequence[float]) -> float:
    """The geometric mean over rounds: who has the lowest has no ratio to another below 1."""
    return float(np.exp(np.mean(np.log(seconds))))


def _mean_of_logs(logs: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its interval."""
    n = len(logs)
    if n < 2:
        return float(logs.mean()), float("nan")
    quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, n - 1))
    return float(logs.mean()), quantile * float(logs.std(ddof=1)) / n**0.5
