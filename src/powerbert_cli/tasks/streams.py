"""Rows that are read once, from front to back, and answers that are written as they come."""

import csv
import gzip
import io
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow
import pyarrow.parquet

from ..errors import nearest
from .files import DataError, no_column, shown

_GZIP = b"\x1f\x8b"
_KNOWN = (["sentence1", "sentence2"], ["text", "text_pair"], ["question", "sentence"], ["sentence"], ["text"])


class Read(NamedTuple):
    """
    Attributes:
        place: `line 31`, or `row 31`.
        texts: one or two.
        wrong: why it cannot be answered; None of a good row.
    """

    place: str
    texts: tuple[str, ...]
    wrong: str | None = None


def read_rows(source: str, kind: str, columns: list[str] | None) -> Iterator[Read]:
    """The rows of a file or of standard input (-), one by one.

    Args:
        kind: lines, tsv, csv, jsonl or parquet; any of them may be gzipped.
        columns: with the texts; None for those that are known by their names, or the only one.

    Raises:
        DataError: a column is not there, or the file is none of its kind.
    """
    with _opened(source) as stream:
        try:
            if kind == "parquet":
                yield from _parquet_rows(source, stream, columns)
                return
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            reader = {"lines": _lines, "jsonl": _json_lines}.get(kind)
            yield from _delimited(source, text, kind, columns) if reader is None else reader(source, text, columns)
        except (EOFError, OSError, zlib.error) as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise DataError(f"{source}: cannot be read: {error}") from error


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    """Without gzip's compression, if it has that."""
    raw = sys.stdin.buffer if source == "-" else open(source, "rb")  # noqa: SIM115
    try:
        peeked = raw if hasattr(raw, "peek") else io.BufferedReader(raw)  # type: ignore[type-var]
        zipped = peeked.peek(2)[:2] == _GZIP
        yield gzip.GzipFile(fileobj=peeked) if zipped else peeked  # type: ignore[misc]
    finally:
        if source != "-":
            raw.close()


def _good(place: str, values: Sequence[Any], columns: Sequence[str]) -> Read:
    """A row, if its texts are texts."""
    texts = []
    for value, column in zip(values, columns, strict=True):
        if value is None or value != value:
            return Read(place, (), f"has no '{column}'; an empty text is allowed, a missing field is not")
        if not isinstance(value, str | int | float):
            return Read(place, (), f"has {shown(value)} as '{column}'; it must be a text")
        text = str(value)
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            return Read(place, (), "is not valid UTF-8")
        texts.append(text)
    return Read(place, tuple(texts))


def _lines(source: str, stream: IO[str], columns: list[str] | None) -> Iterator[Read]:
    for number, line in enumerate(stream, 1):
        yield _good(f"line {number}", [line.rstrip("\r\n")], ["text"])


def _json_lines(source: str, stream: IO[str], columns: list[str] | None) -> Iterator[Read]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Read(place, (), f"is no JSON object: {error}")
            continue
        if not isinstance(row, dict):
            yield Read(place, (), f"is no JSON object: it is {type(row).__name__}")
            continue
        columns = columns or chosen(source, list(row))
        yield _good(place, [row.get(name) for name in columns], columns)


def _delimited(source: str, stream: IO[str], kind: str, columns: list[str] | None) -> Iterator[Read]:
    csv.field_size_limit(1 << 30)
    quoting: Any = csv.QUOTE_NONE if kind == "tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(stream, delimiter="\t" if kind == "tsv" else ",", quoting=quoting)
    header = next(reader, [])
    columns = columns or chosen(source, header)
    at = [_place_of(source, name, header) for name in columns]
    line = reader.line_num + 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield Read(f"line {line}", (), f"is no row of a {kind} file: {error}")
            line = reader.line_num + 1
            continue
        if fields is None:
            return
        if fields or len(header) == 1:  # a blank line is a text of its own where there is one column
            fields = fields or [""]
            place = f"line {line}"
            if len(fields) < len(header) or any(fields[len(header) :]):
                yield Read(place, (), f"has {len(fields)} fields, the header has {len(header)}")
            else:
                yield _good(place, [fields[i] for i in at], columns)
        line = reader.line_num + 1


def _place_of(source: str, name: str, header: list[str]) -> int:
    if name not in header:
        raise no_column(source, name, header, "text_columns")
    return header.index(name)


def _parquet_rows(source: str, stream: IO[bytes], columns: list[str] | None) -> Iterator[Read]:
    with tempfile.TemporaryFile() as copy:
        if source == "-" or isinstance(stream, gzip.GzipFile):  # Parquet is read from its end
            while block := stream.read(1 << 20):
                copy.write(block)
            stream = copy  # type: ignore[assignment]
        try:
            file = pyarrow.parquet.ParquetFile(stream)
        except (OSError, ValueError) as error:
            raise DataError(f"{source}: is no Parquet file: {error}") from error
        columns = columns or chosen(source, list(file.schema_arrow.names))
        for name in columns:
            _place_of(source, name, list(file.schema_arrow.names))
        number = 0
        for batch in file.iter_batches(batch_size=1000, columns=columns):
            for values in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                number += 1
                yield _good(f"row {number}", values, columns)


def chosen(source: str, names: list[str]) -> list[str]:
    """The columns with the texts, where nobody says which.

    Raises:
        DataError: it cannot be told.
    """
    for known in _KNOWN:
        if all(name in names for name in known):
            return known
    rest = [name for name in names if name and name not in ("label", "idx", "index", "id")]
    if len(rest) == 1:
        return rest
    close = nearest("text", names)
    raise DataError(
        f"{source}: its columns are {', '.join(names)}{close}; say which have the texts: text_columns=[NAME] or "
        "text_columns=[FIRST,SECOND]"
    )


Write = Callable[[list[dict[str, Any]]], None]


@contextmanager
def writing_rows(target: str, kind: str) -> Iterator[Write]:
    """A function that writes rows of the same keys: to a file, or to standard output (-) as lines without a header.

    A file is FILE.part until all is written.
    """
    if target == "-" and kind != "parquet":
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=False)
        try:
            write = _writer(stream, kind, header=False)

            def flushed(rows: list[dict[str, Any]]) -> None:
                write(rows)
                stream.flush()

            yield flushed
        finally:
            stream.detach()
        return
    if target == "-":
        # a copy of the descriptor: what Arrow writes to, it closes
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as own:
            sys.stdout.flush()
            with pyarrow.PythonFile(own, mode="w") as sink, _parquet_writer(sink) as write:
                yield write
        return
    part = Path(f"{target}.part")
    if kind == "parquet":
        with _parquet_writer(str(part)) as write:
            yield write
    else:
        zipped = target.endswith(".gz")
        with (gzip.open if zipped else open)(part, "wt", encoding="utf-8", newline="") as stream:  # type: ignore[operator]
            yield _writer(stream, kind, header=True)
    part.replace(target)


def _writer(stream: Any, kind: str, header: bool) -> Write:
    if kind == "jsonl":
        return lambda rows: stream.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    options: Any = {"delimiter": "\t"} if kind == "tsv" else {}
    writer = csv.writer(stream, lineterminator="\n", **options)
    begun = not header

    def write(rows: list[dict[str, Any]]) -> None:
        nonlocal begun
        if rows and not begun:
            writer.writerow(_flat(rows[0]))
            begun = True
        writer.writerows(_flat(row).values() for row in rows)

    return write


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A column for each probability; what is no single value as JSON."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{key}": f"{one:.6g}" for key, one in value.items()}
        elif isinstance(value, list):
            flat[name] = json.dumps(value, ensure_ascii=False)
        else:
            flat[name] = f"{value:.6g}" if isinstance(value, float) else value
    return flat


@contextmanager
def _parquet_writer(target: Any) -> Iterator[Write]:
    writer: Any = None

    def write(rows: list[dict[str, Any]]) -> None:
        nonlocal writer
        if rows:
            table = pyarrow.Table.from_pylist(rows, schema=None if writer is None else writer.schema)
            writer = writer or pyarrow.parquet.ParquetWriter(target, table.schema)
            writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
