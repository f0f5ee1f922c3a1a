"""What stands in a label column, as a class or a number: one mapping for all formats.

By name where it can be a name, by number where no name is a number; what could be both is refused. A number is never
taken for a place among the names where the names are numbers themselves.
"""

import math
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

from ..errors import nearest
from .values import RowError, shown


class LabelError(RowError):
    """A value that is no label; the message follows on the row's place."""


def number_of(value: Any) -> float | None:
    """A number, or a text of one, as a number: 1, 1.0, "1", "1.0"; None for all else. Booleans are none."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def truth_of(value: Any) -> bool | None:
    """A boolean, or a text of one as pandas and JSON write them."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


class Classes:
    """Values of a column to classes 0 … C-1.

    Args:
        names: of the classes, in their order (task.label_names).
        in_file: names that the file itself gives to its numbers (ClassLabel); None if it gives none.

    Raises:
        LabelError: the file's names are others than the task's.
    """

    def __init__(self, names: Sequence[str], in_file: Sequence[str] | None = None) -> None:
        self.names, self.in_file = list(names), None if in_file is None else list(in_file)
        self._by_name = {name: c for c, name in enumerate(self.names)}
        self._by_number: dict[float, list[int]] = {}
        self._by_form: dict[str, list[int]] = {}  # é is one character or two
        for c, name in enumerate(self.names):
            self._by_form.setdefault(normalize("NFC", name), []).append(c)
            if (number := number_of(name)) is not None:
                self._by_number.setdefault(number, []).append(c)
        self._by_truth = {truth: c for c, name in enumerate(self.names) if (truth := truth_of(name)) is not None}
        if self.in_file is not None and set(self.in_file) != set(self.names):
            raise LabelError(
                f"the file names its classes {', '.join(self.in_file)}, the task {', '.join(self.names)}; "
                f"set task.label_names=[{','.join(self.in_file)}]"
            )

    def __call__(self, value: Any) -> int:
        """
        Raises:
            LabelError
        """
        if isinstance(value, str) and value in self._by_name:
            return self._by_name[value]
        if isinstance(value, str) and (alike := self._by_form.get(normalize("NFC", value))):
            return self._only(value, alike)
        if value is None or value == "":
            raise LabelError(f"has label {shown(value)}: no label; {self._rule()}")
        truth = truth_of(value)
        if truth is not None:
            return self._of_truth(value, truth)
        number = number_of(value)
        if number is None:
            close = nearest(value, self.names) if isinstance(value, str) else ""
            raise LabelError(f"has label {shown(value)}; {self._rule()}{close}")
        if self.in_file is not None:
            if not (number.is_integer() and 0 <= number < len(self.in_file)):
                raise LabelError(f"has label {shown(value)}; the file names {len(self.in_file)} classes")
            return self._by_name[self.in_file[int(number)]]
        if self._by_number:  # names that are numbers: a number is a name
            if number in self._by_number:
                return self._only(value, self._by_number[number])
            raise LabelError(f"has label {shown(value)}; {self._rule()}")
        if not (number.is_integer() and 0 <= number < len(self.names)):
            raise LabelError(f"has label {shown(value)}; {self._rule()}")
        return int(number)

    def _only(self, value: Any, classes: list[int]) -> int:
        if len(classes) > 1:
            named = " and ".join(f"'{self.names[c]}'" for c in classes)
            raise LabelError(f"has label {shown(value)}, which can mean {named}; write it as one of them, as a text")
        return classes[0]

    def _of_truth(self, value: Any, truth: bool) -> int:
        if truth in self._by_truth:
            return self._by_truth[truth]
        if float(truth) in self._by_number:
            return self._only(value, self._by_number[float(truth)])
        raise LabelError(
            f"has label {shown(value)}, which can mean the class called '{str(truth).lower()}' or the class number "
            f"{int(truth)} ('{self.names[int(truth)]}'); write names or numbers, or set task.label_names to "
            '\'["false","true"]\''
        )

    def _rule(self) -> str:
        listed = ", ".join(self.names)
        listed = listed if len(listed) <= 200 else f"{listed[:200]}…"
        if self._by_number or self.in_file is not None:
            return f"it must be one of {listed} (task.label_names)"
        return f"it must be 0 to {len(self.names) - 1} or one of {listed} (task.label_names)"


class LabelSets:
    """Values of a multi-label column to one 0 or 1 for each class.

    A value is a list of names or numbers, or a text of them with commas between, or multi-hot: a 0 or 1 for each class.
    A column is multi-hot or it is not.

    Args: as of `Classes`.
    """

    def __init__(self, names: Sequence[str], in_file: Sequence[str] | None = None) -> None:
        self._classes = Classes(names, in_file)
        self._first: dict[bool, Any] = {}  # of multi-hot values and of others, the first

    def __call__(self, value: Any) -> list[float]:
        """
        Raises:
            LabelError
        """
        parts = self._parts(value)
        hot = self._is_hot(parts)
        count = len(self._classes.names)
        if not hot and len(set(map(str, parts))) < len(parts):
            raise LabelError(
                f"has labels {shown(value)}, which name a class twice; for multi-hot values give {count} of 0 and 1, "
                "one for each of task.label_names"
            )
        if parts:
            self._first.setdefault(hot, value)
            if len(self._first) == 2:
                raise LabelError(
                    f"has labels {shown(value)}, and an earlier row {shown(self._first[not hot])}: one is multi-hot (0 "
                    "or 1 for each class), the other a list of classes; write all in one way"
                )
        if hot:
            return [float(number_of(entry) or entry is True) for entry in parts]
        found = {self._classes(entry) for entry in parts}
        return [float(c in found) for c in range(count)]

    def _parts(self, value: Any) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, str):
            text = value.strip().removeprefix("[").removesuffix("]")
            return [entry.strip().strip("'\"") for entry in text.split(",") if entry.strip()]
        if isinstance(value, list):
            return value
        if isinstance(value, dict | bytes):
            raise LabelError(f"has labels {shown(value)}; they must be a list of names or numbers")
        return [value]

    def _is_hot(self, parts: list[Any]) -> bool:
        classes = self._classes
        binary = all(entry is True or entry is False or number_of(entry) in (0.0, 1.0) for entry in parts)
        if len(parts) != len(classes.names) or not binary:
            return False
        named = {number_of(name) for name in classes.names}
        if {0.0, 1.0} <= named and len({number_of(entry) for entry in parts}) == len(parts):
            raise LabelError(
                f"has labels {shown(parts)}, which can be multi-hot or the names of classes; name the classes "
                "otherwise than 0 and 1 in task.label_names"
            )
        return True


def value_of(value: Any) -> float:
    """The label of a regression.

    Raises:
        LabelError
    """
    number = number_of(value)
    if number is None:
        raise LabelError(f"has label {shown(value)}; regression needs a finite number")
    return number
