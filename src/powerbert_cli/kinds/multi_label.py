"""Any number of several classes for each text or pair of texts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .kind import Array, Kind, Row
from .labels import LabelError, LabelSets, truth_of
from .values import shown


class MultiLabel(Kind):
    NAME = "multi_label"
    ABOUT = "any number of several classes"
    PROBLEM = "multi_label_classification"
    METRICS = ("accuracy", "f1")
    BY_CLASS = True
    LABEL = ("float32",)

    def label_columns(self, columns: Sequence[str], label_column: str) -> list[str] | None:
        """One column of lists, or one of 0 and 1 for each class."""
        if label_column not in columns and self.names and all(name in columns for name in self.names):
            return self.names
        return super().label_columns(columns, label_column)

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        if list(columns) == self.names:
            return lambda row, inputs: [_truth(row.get(column)) for column in columns]
        sets, (column,) = LabelSets(self.names or (), in_file), columns
        return lambda row, inputs: sets(row.get(column))

    def counts(self, labels: Array) -> dict[str, Any]:
        return {str(c): int(count) for c, count in enumerate(labels.sum(0))}

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        """(n, C) of 0 and 1."""
        return (logits > 0).astype(np.int64)

    def answer_types(self) -> Row:
        return {**super().answer_types(), "label": ["string"]}

    def said(self, logits: Array) -> Row:
        named = dict(zip(self.outputs, map(float, 1 / (1 + np.exp(-logits))), strict=True))
        chosen = [name for name, value in zip(self.outputs, logits, strict=True) if value > 0]
        return {"label": chosen, "probability": named}

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        return (",".join(self.said(row)["label"]) for row in logits)


def _truth(value: Any) -> float:
    """A 0 or 1 of the column of a class.

    Raises:
        LabelError
    """
    known = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}.get(str(value))
    truth = truth_of(value)
    if known is None and truth is None:
        raise LabelError(f"has {shown(value)} in the column of a class; it must be 0 or 1")
    return known if known is not None else float(bool(truth))
