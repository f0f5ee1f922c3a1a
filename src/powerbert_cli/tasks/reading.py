"""The one reader of people's files: `finetune`, `check` and `predict` read the same rows, and refuse the same.

A file is read once, from front to back, so that a stream does. A row that cannot be read comes with the reason; who
reads decides whether that ends it.
"""

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.parquet

from ..kinds.values import shown
from .conll_rows import conll_table
from .json_rows import json_table
from .rows import DataError, Lines, Read, Row, Table, check_once

STANDARD = "-"  # standard input
TAB = "\t"
_AT_ONCE = 1000  # rows of a Parquet file
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)
_STREAMS: dict[bytes, Callable[[], Any]] = {b"BZh": bz2.BZ2Decompressor, b"\xfd7zXZ\x00": lzma.LZMADecompressor}
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook; unpack it, or save the table as CSV in UTF-8",
    b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it, or pack it with gzip",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook; save the table as CSV in UTF-8",
    b"\xff\xfe": "is UTF-16; save the file as UTF-8",
    b"\xfe\xff": "is UTF-16; save the file as UTF-8",
}
_SEPARATORS = {",": "','", TAB: "tabs", ";": "';'", "|": "'|'"}


@contextlib.contextmanager
def opened(source: Path | str, kind: str) -> Iterator[Table]:
    """A file, or standard input (-), as a table.

    Values of tsv, csv and lines are texts: "NA" and "null" are words, "007" is no number. Those of JSON and Parquet
    are what they are.

    Args:
        kind: lines, tsv, csv, jsonl, json, parquet or conll; packed with gzip, bzip2 or xz, or not.

    Raises:
        DataError: it is none of its kind, or damaged.
    """
    name = "standard input" if source == STANDARD else str(source)
    with contextlib.ExitStack() as stack:
        with _named(name):
            stream = stack.enter_context(_unpacked(source, name))
            table = stack.enter_context(_parquet(name, stream)) if kind == "parquet" else _text(name, stream, kind)
        yield replace(table, reads=partial(_guarded, name, table.reads))


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """An error of reading says what is read; those of whoever writes meanwhile are not touched.

    Raises:
        DataError
    """
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _guarded(name: str, reads: Callable[[list[str]], Iterator[Read]], columns: list[str]) -> Iterator[Read]:
    rows = reads(columns)
    while True:
        with _named(name):
            row = next(rows, None)
        if row is None:
            return
        yield row


def _text(name: str, stream: Any, kind: str) -> Table:
    lines = Lines(stream)
    if kind in ("json", "jsonl"):
        return json_table(name, lines, kind)
    if kind == "conll":
        return conll_table(name, lines)
    return _lines(name, lines) if kind == "lines" else _delimited(name, lines, kind)


def columns_of(path: Path, kind: str) -> list[str]:
    """Column names, without reading more than a row of most formats.

    Raises:
        DataError
    """
    with opened(path, kind) as table:
        return table.columns


def rows_of(path: Path, kind: str, columns: list[str]) -> Iterator[tuple[str, Row]]:
    """The rows of a file, each with its place.

    Raises:
        DataError: at the first that cannot be read; names it.
    """
    with opened(path, kind) as table:
        for place, row, wrong in table.reads(columns):
            if wrong is not None:
                raise DataError(f"{path}: {place} {wrong}")
            yield place, row


@contextlib.contextmanager
def _unpacked(source: Path | str, name: str) -> Iterator[Any]:
    """The bytes of a file; what packed it is known by its first bytes, not by its name."""
    # a buffer of its own: that of sys.stdin is locked at the interpreter's end while a thread waits in it
    if source == STANDARD and sys.stdin is None:
        raise DataError("standard input is closed; give input=FILE")
    raw: Any = open(source, "rb") if source != STANDARD else open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    # standard input stays open: closing it waits for the thread that reads
    with contextlib.nullcontext(raw) if source == STANDARD else raw:
        start = raw.peek(8)[:8]
        for magic, reason in _FOREIGN.items():
            if start.startswith(magic):
                raise DataError(f"{name}: {reason}")
        if start.startswith(_GZIP):
            yield gzip.GzipFile(fileobj=raw)
            return
        make = next((make for magic, make in _STREAMS.items() if start.startswith(magic)), None)
        yield raw if make is None else io.BufferedReader(_Unpacked(raw, make))


class _Unpacked(io.RawIOBase):
    """The content of bzip2 or xz, of all streams: Python's own files leave out what is damaged after the first.

    Args:
        make: a decompressor.
    """

    def __init__(self, raw: Any, make: Callable[[], Any]) -> None:
        self._raw, self._make, self._stream, self._given = raw, make, make(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._stream.eof:
                rest = self._stream.unused_data.lstrip(b"\0")  # padding
                while not rest and (more := self._raw.read1(1 << 16)):
                    rest = more.lstrip(b"\0")
                if not rest:
                    return 0
                self._stream, self._given = self._make(), rest
            if not self._given and self._stream.needs_input:
                self._given = self._raw.read1(1 << 16)
                if not self._given:
                    raise EOFError("it ends in the middle of its packed content")
            given, self._given = self._given, b""
            found = self._stream.decompress(given, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)


def _lines(name: str, lines: Lines) -> Table:
    """A text in each line."""

    def reads(columns: list[str]) -> Iterator[Read]:
        for line in lines:
            wrong, place = lines.noted(), f"line {lines.number}"
            yield Read(place, {} if wrong else {"text": line.removesuffix("\n").removesuffix("\r")}, wrong)

    return Table(["text"], reads, first=lines.peek())


def _delimited(name: str, lines: Lines, kind: str) -> Table:
    """tsv (no quoting: texts may hold a lone \") and csv."""
    csv.field_size_limit(1 << 30)
    delimiter, quoting = (TAB, csv.QUOTE_NONE) if kind == "tsv" else (",", csv.QUOTE_MINIMAL)
    if (first := lines.peek()) is None:
        raise DataError(f"{name} is empty; it needs a header line and at least one row")
    if first.lower().startswith("sep="):
        raise DataError(f"{name}: its first line is {shown(first.strip())}, which is for Excel alone; take it out")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
    try:
        header = next(reader)
    except csv.Error as error:
        raise DataError(f"{name}: line 1: {_csv_reason(error)}") from error
    if wrong := lines.noted():
        raise DataError(f"{name}: line 1 {wrong}")
    if not header:
        raise DataError(f"{name}: its first line is blank; it needs a header line")
    _check_separator(name, header, delimiter)

    def reads(columns: list[str]) -> Iterator[Read]:
        check_once(name, header, columns)
        places = {column: header.index(column) for column in header if column}
        number = 0
        while True:
            line = lines.number + 1
            try:
                fields, wrong = next(reader, None), None
            except csv.Error as error:
                fields, wrong = [], _csv_reason(error)
            if fields is None:
                return
            # a blank line is a text of its own where there is one column, and no row where there are more
            if not fields and wrong is None and len(header) == 1:
                fields = [""]
            if not fields and wrong is None:
                continue
            number += 1
            wrong = lines.noted() or wrong or _wrong_fields(header, fields)
            last = f" to {lines.number}" if wrong and lines.number > line else ""
            place = f"row {number} (line{'s' if last else ''} {line}{last})"
            yield Read(place, {} if wrong else {column: fields[at] for column, at in places.items()}, wrong)

    return Table([column for column in header if column], reads)


def _csv_reason(error: csv.Error) -> str:
    text = str(error)
    if "new-line character" in text:
        return "has a carriage return in a field without quotes; end lines with line feeds, and quote such a field"
    return f"cannot be split into fields: {text}; is a quote not closed, or not doubled?"


def _check_separator(name: str, header: list[str], delimiter: str) -> None:
    """
    Raises:
        DataError: its fields are separated by something else.
    """
    only = header[0] if len(header) == 1 else ""
    for other, called in _SEPARATORS.items():
        if other != delimiter and len(parts := only.split(other)) > 1:
            raise DataError(
                f"{name}: its header is one column, {shown(only)}; fields are separated by "
                f"{'tabs' if delimiter == TAB else 'commas'}, not {called} (the columns then are {', '.join(parts)})"
            )


def _wrong_fields(header: list[str], fields: list[str]) -> str | None:
    if len(fields) < len(header) or any(fields[len(header) :]):
        names = shown(", ".join(header)).strip("'\"")
        return f"has {len(fields)} fields, the header has {len(header)} ({names})"
    return "is the header once more; take it out" if fields[: len(header)] == header else None


@contextlib.contextmanager
def _parquet(name: str, stream: IO[bytes]) -> Iterator[Table]:
    with contextlib.ExitStack() as stack:
        if not (isinstance(stream, io.BufferedReader) and stream.seekable()):  # Parquet is read from its end
            copy = stack.enter_context(tempfile.TemporaryFile())
            while block := stream.read(1 << 20):
                copy.write(block)
            stream = copy  # type: ignore[assignment]
        try:
            file = pyarrow.parquet.ParquetFile(stream)
        except (OSError, ValueError) as error:
            raise DataError(f"{name}: is no Parquet file: {error}") from error
        columns = list(file.schema_arrow.names)

        def reads(wanted: list[str]) -> Iterator[Read]:
            number = 0
            check_once(name, columns, wanted)
            try:
                known = [column for column in wanted if column in columns]
                for batch in file.iter_batches(batch_size=_AT_ONCE, columns=known):
                    for row in batch.to_pylist():
                        number += 1
                        yield Read(f"row {number}", row)
            except (OSError, ValueError, OverflowError) as error:
                raise DataError(f"{name}: cannot be read after row {number}: {error}") from error

        yield Table(columns, reads, file.schema_arrow)
