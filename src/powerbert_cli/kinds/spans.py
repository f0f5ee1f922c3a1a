"""The likeliest spans of texts, by logits of where they start and end.

Legend: m windows, N places, n spans of each window.
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray
_AT_ONCE = 500_000  # spans that are in memory together


class Spans(NamedTuple):
    """
    Attributes:
        scores: (m, n), the sum of both logits, the best first; -inf where a window has no more spans.
        first, last: (m, n), places of their first and last word-piece.
    """

    scores: Array
    first: Array
    last: Array


def best_spans(logits: Array, at: Array, sizes: Array, most: int, n: int = 1) -> Spans:
    """The best spans of each window, of all there are; of equal ones the shorter, then the earlier.

    Args:
        logits: (m, N, 2), of start and end.
        at: (m,), the place where the text begins. sizes: (m,), its word-pieces.
        most: word-pieces of a span.
    """
    places, most = logits.shape[1], max(1, min(most, logits.shape[1]))
    count, step = min(n, most * places), max(1, _AT_ONCE // (most * places))
    found = [
        _best(logits[i : i + step], at[i : i + step, None], sizes[i : i + step, None], most, count)
        for i in range(0, len(logits), step)
    ]
    if not found:
        return Spans(np.empty((0, count)), np.empty((0, count), int), np.empty((0, count), int))
    return Spans(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _best(logits: Array, at: Array, sizes: Array, most: int, n: int) -> tuple[Array, Array, Array]:
    places = np.arange(logits.shape[1])
    inside = (places >= at) & (places < at + sizes)
    start, end = (np.where(inside, logits[:, :, which], -np.inf) for which in (0, 1))
    sums = np.full((len(logits), most, len(places)), -np.inf)
    for longer in range(most):
        until = len(places) - longer
        np.add(start[:, :until], end[:, longer:], out=sums[:, longer, :until])
    flat = sums.reshape(len(logits), -1)
    best = flat.argmax(axis=1)[:, None] if n == 1 else np.sort(np.argpartition(flat, -n, axis=1)[:, -n:], axis=1)
    scores = np.take_along_axis(flat, best, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    scores, best = (np.take_along_axis(one, order, axis=1) for one in (scores, best))
    beyond, first = np.divmod(best, len(places))
    return scores, first, first + beyond
