"""One of several classes for each text or pair of texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .kind import Array, Kind, Row
from .labels import Classes


class Classification(Kind):
    NAME = "classification"
    ABOUT = "one of several classes"
    PROBLEM: ClassVar[str | None] = "single_label_classification"
    METRICS = ("accuracy", "f1", "macro_f1", "matthews")
    NAMES_FROM_ROWS = True
    STRATIFIES = True
    BY_CLASS = True

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        classes, (column,) = Classes(self.names or (), in_file), columns
        return lambda row, inputs: classes(row.get(column))

    def counts(self, labels: Array) -> dict[str, Any]:
        return {str(label): count for label, count in sorted(Counter(labels.tolist()).items())}
