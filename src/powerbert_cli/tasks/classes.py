"""What a classifier's answers are worth class by class, by scikit-learn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

KINDS = ("classification", "multi_label")  # a choice of multiple choice is another text in each row


def read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of a predictions.csv, (n,) each, or (n, C) of a multi-label task."""
    table = pd.read_csv(path)
    return _values(table, "label"), _values(table, "prediction")


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column, or the columns of a multi-label task side by side."""
    if name in table:
        return table[name].to_numpy()
    return table[[column for column in table if str(column).startswith(f"{name}_")]].to_numpy()


def per_class(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] | None) -> pd.DataFrame:
    """One row for each class: class, precision, recall, f1, and rows, those that have it as their label.

    Precision is NaN for a class that is never predicted, recall for one without rows.

    Args:
        labels, predictions: (n,), or (n, C) of 0 and 1.
        names: of the classes; None for their numbers.
    """
    classes = range(_count(labels, predictions, names))
    scores = precision_recall_fscore_support(labels, predictions, labels=list(classes), zero_division=np.nan)
    columns = dict(zip(("precision", "recall", "f1", "rows"), scores, strict=True))
    return pd.DataFrame({"class": [_name(c, names) for c in classes], **columns}).astype({"rows": int})


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """How many rows of class i were predicted as class j, (C, C)."""
    return np.asarray(confusion_matrix(labels, predictions, labels=list(range(classes))))


def _count(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] | None) -> int:
    found = labels.shape[1] if labels.ndim == 2 else 1 + max(int(labels.max()), int(predictions.max()))
    return max(found, len(names or ()))


def _name(number: int, names: Sequence[str] | None) -> str:
    return names[number] if names and number < len(names) else str(number)
