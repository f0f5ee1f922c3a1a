"""What a classifier's answers are worth class by class, by scikit-learn."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


def per_class(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] | None) -> pd.DataFrame:
    """One row for each class: class, precision, recall, f1, and rows, those that have it as their label.

    Precision is NaN for a class that is never predicted, recall for one without rows.

    Args:
        labels, predictions: (n,), or (n, C) of 0 and 1; of tags a tuple for each row.
        names: of the classes; None for their numbers.
    """
    if labels.dtype == object:
        return _per_type(labels, predictions, names)
    classes = range(_count(labels, predictions, names))
    scores = precision_recall_fscore_support(labels, predictions, labels=list(classes), zero_division=np.nan)
    columns = dict(zip(("precision", "recall", "f1", "rows"), scores, strict=True))
    return pd.DataFrame({"class": [_name(c, names) for c in classes], **columns}).astype({"rows": int})


def _per_type(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] | None) -> pd.DataFrame:
    """The same of tags: of each type of span, or of each tag of a word; rows are the spans, or words, that have it."""
    true, guessed, both = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(labels, predictions, strict=True):
        own, found = (_typed(row, names) for row in (one, other))
        true.update(kind for kind, _ in own)
        guessed.update(kind for kind, _ in found)
        both.update(kind for kind, _ in own & found)
    rows = []
    for kind in sorted({*true, *guessed}):
        precision = both[kind] / guessed[kind] if guessed[kind] else np.nan
        recall = both[kind] / true[kind] if true[kind] else np.nan
        rows.append((kind, precision, recall, 2 * both[kind] / (true[kind] + guessed[kind]), true[kind]))
    return pd.DataFrame(rows, columns=["class", "precision", "recall", "f1", "rows"])


def _typed(row: Sequence[Any], names: Sequence[str] | None) -> set[tuple[str, Any]]:
    """Type and place of each span, or class and place of each word."""
    return {(one[0], one[1:]) if isinstance(one, tuple) else (_name(one, names), i) for i, one in enumerate(row)}


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """How many rows of class i were predicted as class j, (C, C)."""
    return np.asarray(confusion_matrix(labels, predictions, labels=list(range(classes))))


def _count(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] | None) -> int:
    found = labels.shape[1] if labels.ndim == 2 else 1 + max(int(labels.max()), int(predictions.max()))
    return max(found, len(names or ()))


def _name(number: int, names: Sequence[str] | None) -> str:
    return names[number] if names and number < len(names) else str(number)
