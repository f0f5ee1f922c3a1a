"""A number for each text or pair of texts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .kind import Array, Kind, Row
from .labels import value_of


class Regression(Kind):
    NAME = "regression"
    ABOUT = "a number"
    PROBLEM = "regression"
    METRICS = ("spearman", "pearson")
    NAMED = False
    VALUES = True
    LABEL = "float32"

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        (column,) = columns
        return lambda row, inputs: value_of(row.get(column))

    def counts(self, labels: Array) -> dict[str, Any]:
        return {"least": float(labels.min()), "mean": float(labels.mean()), "most": float(labels.max())}

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        return np.asarray(logits.reshape(-1))

    def differ(self, predictions: Array, others: Array) -> float | None:
        return None

    def answer_types(self) -> Row:
        return {"value": "float64"}

    def said(self, logits: Array) -> Row:
        return {"value": float(logits[0])}

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        return (f"{float(value):.6g}" for value in self.predictions(logits))
