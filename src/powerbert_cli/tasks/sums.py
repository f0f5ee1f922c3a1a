"""What each example adds to a metric of sums, and what the sums mean.

parts: (labels, predictions), (n, …) each → (n, P); values: sums of parts (…, P) → the metric (…).
"""

import operator
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import PowerbertError, brings

Array = np.ndarray


def ratio(above: Array, below: Array) -> Array:
    """0 where nothing is counted."""
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=np.asarray(below) > 0)


def mean(sums: Array) -> Array:
    """Of what the first part adds up, over the second."""
    return ratio(sums[..., 0], sums[..., 1])


def right(labels: Array, predictions: Array) -> Array:
    """1 for an example with all labels right, and 1 for each example."""
    right = labels == predictions
    right = right if right.ndim == 1 else right.all(axis=1)
    return np.stack([right, np.ones(len(right))], axis=1).astype(float)


def both_true_guessed(labels: Array, predictions: Array) -> Array:
    """Of the second class; with several labels per example over all of them (micro average)."""
    true, guessed = labels == 1, predictions == 1
    found = (true & guessed, true, guessed)
    return np.stack([one.reshape(len(one), -1).sum(axis=1) for one in found], axis=1).astype(float)


def f1(sums: Array) -> Array:
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def by_class(labels: Array, predictions: Array) -> Array:
    """Whether it is right, true and guessed, for each class."""
    classes = np.unique(np.concatenate([labels, predictions]))
    true, guessed = labels[:, None] == classes, predictions[:, None] == classes
    return np.concatenate([true & guessed, true, guessed], axis=1).astype(float)


def matthews(sums: Array) -> Array:
    """Of any number of classes (Gorodkin, 2004)."""
    both, true, guessed = np.split(sums, 3, axis=-1)
    n = true.sum(axis=-1)
    spread = np.sqrt((n**2 - (true**2).sum(-1)) * (n**2 - (guessed**2).sum(-1)))
    return ratio(both.sum(axis=-1) * n - (true * guessed).sum(-1), spread)


def macro_f1(sums: Array) -> Array:
    """The mean over the classes that are there."""
    both, true, guessed = np.split(sums, 3, axis=-1)
    counted = true + guessed
    return ratio(ratio(2 * both, counted).sum(axis=-1), (counted > 0).sum(axis=-1).astype(float))


def words(labels: Array, predictions: Array) -> Array:
    """Of rows with a class for each word, those that are right, and all."""
    pairs = zip(labels, predictions, strict=True)
    return np.array([(sum(map(operator.eq, one, other)), len(one)) for one, other in pairs], dtype=float)


def accurate(labels: Array, predictions: Array) -> Array:
    return (words if labels.dtype == object else right)(labels, predictions)


def spans(labels: Array, predictions: Array) -> Array:
    """Of the spans of each row those that are right, true and guessed."""
    pairs = [(set(one), set(other)) for one, other in zip(labels, predictions, strict=True)]
    return np.array([(len(one & other), len(one), len(other)) for one, other in pairs], dtype=float)


def precision(sums: Array) -> Array:
    return ratio(sums[..., 0], sums[..., 2])


def word_errors(labels: Array, predictions: Array) -> Array:
    """Of the words of transcripts those that were inserted, left out or taken for another, and all there are."""
    return _errors("process_words", labels, predictions, str.split)


def character_errors(labels: Array, predictions: Array) -> Array:
    """The same of characters, spaces among them."""
    return _errors("process_characters", labels, predictions, list)


def _errors(how: str, labels: Array, predictions: Array, parts: Callable[[str], Sequence[str]]) -> Array:
    """
    Raises:
        PowerbertError: the package that aligns them is not there.
    """
    try:
        import jiwer
    except ImportError as error:
        raise PowerbertError(
            f"word and character errors are counted by the package jiwer, which is missing; install it "
            f"({brings('speech')})"
        ) from error

    def counted(true: str, said: str) -> tuple[float, float]:
        count = len(parts(true))
        if not count:  # silence: all that is heard is wrong
            return float(len(parts(said))), 0.0
        found = getattr(jiwer, how)(true, said)
        return float(found.substitutions + found.deletions + found.insertions), float(count)

    return np.array([counted(*pair) for pair in zip(labels, predictions, strict=True)])


def right_of(sums: Array) -> Array:
    """One less errors over what there is; below 0 where errors are more."""
    return np.where(sums[..., 1] > 0, 1 - mean(sums), 0.0)


_AT = 10


def ranked(value: Callable[[dict[int, float], Sequence[int]], float]) -> Callable[[Array, Array], Array]:
    """Parts of a mean over queries: labels are pairs (document, relevance), predictions documents, the best first."""

    def parts(labels: Array, predictions: Array) -> Array:
        return np.array([(value(dict(own), found), 1.0) for own, found in zip(labels, predictions, strict=True)])

    return parts


def _gained(relevances: Sequence[float]) -> float:
    return float(sum(value / np.log2(place + 2) for place, value in enumerate(relevances[:_AT])))


def ndcg(relevant: dict[int, float], found: Sequence[int]) -> float:
    """Discounted gain of the first ten over that of the best order (Järvelin and Kekäläinen, 2002), as trec_eval."""
    best = _gained(sorted((value for value in relevant.values() if value > 0), reverse=True))
    return _gained([max(0.0, relevant.get(one, 0.0)) for one in found]) / best if best else 0.0


def reciprocal(relevant: dict[int, float], found: Sequence[int]) -> float:
    """One over the place of the first relevant of the first ten."""
    return next((1 / place for place, one in enumerate(found[:_AT], 1) if relevant.get(one, 0.0) > 0), 0.0)


def precise(relevant: dict[int, float], found: Sequence[int]) -> float:
    """Mean of the precisions at the places of the relevant documents that were found."""
    wanted = sum(value > 0 for value in relevant.values())
    right = [place for place, one in enumerate(found, 1) if relevant.get(one, 0.0) > 0]
    return sum(number / place for number, place in enumerate(right, 1)) / wanted if wanted else 0.0
