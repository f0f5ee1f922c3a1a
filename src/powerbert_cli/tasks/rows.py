"""Rows of people's files as they are read: with their place, and with what is wrong with them."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from unicodedata import normalize

from ..errors import PowerbertError, nearest

Row = dict[str, Any]


class DataError(PowerbertError):
    """A data file or row that breaks a rule."""


class Read(NamedTuple):
    """
    Attributes:
        place: `row 31 (line 32)`, or `row 31`; rows count from 1, as lines do.
        row: column → value; empty where it is wrong.
        wrong: why it cannot be read; None of a good row.
    """

    place: str
    row: Row
    wrong: str | None = None


@dataclass(frozen=True)
class Table:
    """A file that is open.

    Attributes:
        columns: their names; of JSON those of the first row. Columns without a name are left out.
        reads: wanted columns → the rows, once. Others may come too; of csv and tsv all do.
        schema: of Parquet, else None.
        first: of lines, the first one.
    """

    columns: list[str]
    reads: Callable[[list[str]], Iterator[Read]]
    schema: Any = None
    first: str | None = None


def no_column(where: Any, column: str, columns: list[str], setting: str) -> DataError:
    """The error of a column that is not there."""
    listed = ", ".join(columns)
    listed = listed if len(listed) <= 400 else f"{listed[:400]}…"
    close = nearest(column, columns)
    if any(normalize("NFC", one) == normalize("NFC", column) for one in columns):
        close = " (but one that looks the same, in another form of Unicode; copy the name from the file)"
    return DataError(f"{where} has no column '{column}'{close}; its columns: {listed}; set {setting}")


def check_once(name: str, columns: list[str], wanted: Iterable[str]) -> None:
    """
    Raises:
        DataError: a wanted column stands there twice.
    """
    for column in wanted:
        if columns.count(column) > 1:
            raise DataError(f"{name}: {columns.count(column)} columns are called '{column}'; give each its own name")


class Lines:
    """The lines of a file in UTF-8, which end with a line feed; notes what no text file has.

    Attributes:
        number: of lines that were given.
        wrong: what is wrong with one that was given since it was last asked.
    """

    def __init__(self, stream: Any) -> None:
        # without the byte order mark that Excel and editors put in front; a lone carriage return ends no line
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="\n")
        self._ahead: list[str] = []
        self.number = 0
        self._wrong: str | None = None

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.pop(0) if self._ahead else next(self._text)
        self.number += 1
        if not line.isascii() and any("\udc80" <= char <= "\udcff" for char in line):
            self._wrong = self._wrong or "is not valid UTF-8; save the file as UTF-8"
        elif "\0" in line:
            self._wrong = self._wrong or "has a NUL byte; not a text file in UTF-8; save it as UTF-8"
        return line

    def peek(self) -> str | None:
        """The next line, without taking it; None at the end."""
        if not self._ahead:
            self._ahead = list(itertools.islice(self._text, 1))
        return self._ahead[0] if self._ahead else None

    def rest(self) -> str:
        """All that comes, as one text."""
        return "".join(self)

    def noted(self) -> str | None:
        """What is wrong with the lines since this was last called."""
        wrong, self._wrong = self._wrong, None
        return wrong
