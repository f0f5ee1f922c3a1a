"""How right the answer of a question is, by the rules of SQuAD's evaluation script.

Letters are lower case, punctuation and articles are left out, white space counts once; of several right answers the
most like it counts. No answer is right where there is none, and wrong elsewhere.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def words_of(text: str) -> list[str]:
    """What counts of an answer."""
    return _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact(labels: Array, predictions: Array) -> Array:
    """Whether each answer is right, and 1 for each, (n, 2).

    Args:
        labels: (n,), the texts of each row's right answers. predictions: (n,), texts.
    """
    return _best(labels, predictions, lambda gold, words: float(gold == words))


def overlap(labels: Array, predictions: Array) -> Array:
    """F1 of each answer's words, and 1 for each, (n, 2)."""
    return _best(labels, predictions, _f1)


def _best(labels: Array, predictions: Array, score: Callable[[list[str], list[str]], float]) -> Array:
    def of(golds: Sequence[str], text: str) -> float:
        words = words_of(text)
        right = [gold for gold in map(words_of, golds) if gold] or [[]]
        return max(score(gold, words) for gold in right)

    return np.array([(of(golds, text), 1.0) for golds, text in zip(labels, predictions, strict=True)]).reshape(-1, 2)


def _f1(gold: list[str], words: list[str]) -> float:
    if not gold or not words:
        return float(gold == words)
    return 2 * (Counter(gold) & Counter(words)).total() / (len(gold) + len(words))
