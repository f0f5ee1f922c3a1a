"""Local data files: found, checked, and read row by row with the place that a message names."""

import codecs
import csv
import gzip
import hashlib
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import datasets
import pyarrow
import pyarrow.parquet

from ..errors import PowerbertError, nearest

FORMATS = ("tsv", "csv", "jsonl", "json", "parquet")
SPLIT_FILES = {"train": ("train",), "dev": ("dev", "validation"), "test": ("test",)}
_AT_ONCE = 1000  # rows of a Parquet file or data set
_BY_COLUMNS = (
    "it is one object with a column in each key, as pandas' df.to_json() writes it; write one object a row: "
    "df.to_json(path, orient='records', lines=True)"
)

Row = dict[str, Any]


class DataError(PowerbertError):
    """A data file or row that breaks a rule."""


def find_file(folder: Path, split: str) -> Path | None:
    """The file of a split ('train', 'dev' or 'test'), or None.

    Raises:
        DataError: if several files could be meant.
    """
    names = [f"{stem}.{kind}{gz}" for stem in SPLIT_FILES[split] for kind in FORMATS for gz in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder} has several {split} files: {', '.join(p.name for p in found)}; keep one")
    return found[0] if found else None


def require_file(folder: Path, split: str) -> Path:
    """As `find_file`, but a missing file is an error."""
    path = find_file(folder, split)
    if path is None:
        wanted = " or ".join(f"{stem}.*" for stem in SPLIT_FILES[split])
        raise DataError(f"no {wanted} ({', '.join(FORMATS)}, also .gz) in task.data_dir={folder}")
    return path


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def kind_of(path: Path) -> str:
    """tsv, csv, jsonl, json or parquet, with .gz taken off."""
    return Path(path.name.removesuffix(".gz")).suffix.lstrip(".")


def shown(value: Any) -> str:
    """A value for a message: at most a line of it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _text(path: Path) -> io.TextIOWrapper:
    """Without the byte order mark that Excel and editors put in front."""
    return io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="")


def check_text(path: Path) -> None:
    """Refuses an empty, binary or wrongly encoded file, naming the line.

    Raises:
        DataError
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, any_bytes = 1, False
    try:
        with _open(path) as stream:
            while block := stream.read(1 << 20):
                if not any_bytes and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise DataError(f"{path}: is UTF-16; save the file as UTF-8")
                any_bytes = True
                if b"\0" in block:
                    at = line + block[: block.index(0)].count(10)
                    raise DataError(f"{path}: line {at} has a NUL byte; not a text file in UTF-8; save it as UTF-8")
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as error:
                    bad = line + block[: max(0, error.start)].count(b"\n")
                    raise DataError(f"{path}: line {bad} is not valid UTF-8; save the file as UTF-8") from None
                line += block.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise DataError(f"{path}: line {line} is not valid UTF-8; save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not any_bytes:
        raise DataError(f"{path} is empty; it needs a header line and at least one row")


def columns_of(path: Path) -> list[str]:
    """Column names, without reading more than a row of most formats.

    Raises:
        DataError
    """
    if kind_of(path) == "parquet":
        return list(_parquet(path).schema_arrow.names)
    if kind_of(path) in ("tsv", "csv"):
        with _text(path) as stream:
            return [name for name in _header(path, csv.reader(stream, **_delimited(path))) if name]
    row = next(_json(path), None)
    return [] if row is None else list(row[1])


def class_names(path: Path, column: str) -> list[str] | None:
    """The names that a Parquet file written by `datasets` gives to the numbers of a column; None if it has none."""
    if kind_of(path) != "parquet":
        return None
    return names_in(datasets.Features.from_arrow_schema(_parquet(path).schema_arrow), column)


def names_in(features: datasets.Features, column: str) -> list[str] | None:
    """As `class_names`, of a data set's features."""
    feature = features.get(column)
    return list(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def rows_of(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    """The rows of a checked file, each with its place: `row 31 (line 32)`.

    Rows count from 1, as lines do; a row of several lines has the place of the first. Values of tsv and csv are texts:
    "NA" and "null" are words, "007" is no number. Those of JSON and Parquet are what they are.

    Args:
        columns: those that are wanted; more may come.

    Raises:
        DataError: names the row or line.
    """
    kind = kind_of(path)
    reader = {"parquet": _parquet_rows, "tsv": _delimited_rows, "csv": _delimited_rows}.get(kind)
    return _json(path) if reader is None else reader(path, columns)


def _delimited(path: Path) -> dict[str, Any]:
    """Reader options of tsv (no quoting: texts may hold a lone \") and csv."""
    csv.field_size_limit(1 << 30)
    tab = kind_of(path) == "tsv"
    quoting = csv.QUOTE_NONE if tab else csv.QUOTE_MINIMAL
    return {"delimiter": "\t" if tab else ",", "quoting": quoting, "strict": True}


def _header(path: Path, reader: Any) -> list[str]:
    try:
        header: list[str] = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{path}: line 1: {error}") from error
    if len(header) == 1 and len(parts := header[0].split(";")) > 1:
        raise DataError(
            f"{path}: its header is one column, {shown(header[0])}; fields are separated by "
            f"{'tabs' if kind_of(path) == 'tsv' else 'commas'}, not ';' (the columns then are {', '.join(parts)})"
        )
    return header


def _delimited_rows(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    """Columns without a name, as pandas writes its index and Excel its empty ones, are left out."""
    with _text(path) as stream:
        reader = csv.reader(stream, **_delimited(path))
        header = _header(path, reader)
        for name in columns:
            if header.count(name) > 1:
                raise DataError(f"{path}: {header.count(name)} columns are called '{name}'; give each its own name")
        places = {name: header.index(name) for name in header if name}
        number, line = 0, reader.line_num + 1
        try:
            for fields in reader:
                # a blank line is a text of its own where there is one column, and no row where there are more
                if not fields and len(header) == 1:
                    fields = [""]
                if fields:
                    number += 1
                    _check_fields(path, header, fields, line)
                    yield f"row {number} (line {line})", {name: fields[at] for name, at in places.items()}
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}: line {line}: {error}; is a quote not closed, or not doubled?") from error


def _check_fields(path: Path, header: list[str], fields: list[str], line: int) -> None:
    if len(fields) < len(header) or any(fields[len(header) :]):
        names = shown(", ".join(header)).strip("'\"")
        raise DataError(f"{path}: line {line} has {len(fields)} fields, the header has {len(header)} ({names})")
    if fields[: len(header)] == header:
        raise DataError(f"{path}: line {line} is the header once more; take it out")


def _json(path: Path) -> Iterator[tuple[str, Row]]:
    """One object a line, a list of objects, or an object with such a list under one of its keys."""
    try:
        with _text(path) as stream:
            line, second = itertools.islice(itertools.chain(filter(str.strip, stream), ("", "")), 2)
            stream.seek(0)
            if second and _is_object(line):
                yield from _json_lines(path, stream)
                return
            content = json.load(stream)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: line 1 is no JSON object: {error}") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    for number, row in enumerate(_listed(path, content), 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is no JSON object: it is {type(row).__name__}")
        yield f"row {number}", row


def _is_object(line: str) -> bool:
    """Whether a line is an object by itself."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _json_lines(path: Path, stream: io.TextIOWrapper) -> Iterator[tuple[str, Row]]:
    number = 0
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        number += 1
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {line} is no JSON object: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {line} is no JSON object: it is {type(row).__name__}")
        yield f"row {number} (line {line})", row


def _listed(path: Path, content: Any) -> list[Any]:
    """The list of rows in a JSON file that is one value."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise DataError(f"{path}: line 1 is no JSON object: it is {type(content).__name__}")
    lists = {name: value for name, value in content.items() if isinstance(value, list) and value}
    of_rows = [name for name, value in lists.items() if all(isinstance(row, dict) for row in value)]
    if len(of_rows) == 1:
        return list(content[of_rows[0]])
    if of_rows:
        raise DataError(f"{path}: has lists of objects under {', '.join(of_rows)}; keep one in a file")
    if content and all(isinstance(value, dict | list) for value in content.values()):
        raise DataError(f"{path}: {_BY_COLUMNS}")
    return [content]


def _parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        if path.suffix != ".gz":
            return pyarrow.parquet.ParquetFile(path)
        with _open(path) as stream:
            return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(stream.read()))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: is no Parquet file: {error}") from error


def _parquet_rows(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    number, file = 0, _parquet(path)
    wanted = [name for name in columns if name in file.schema_arrow.names]
    try:
        for batch in file.iter_batches(batch_size=_AT_ONCE, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read after row {number}: {error}") from error


def no_column(where: Any, column: str, columns: list[str], setting: str) -> DataError:
    """The error of a column that is not there."""
    listed = ", ".join(columns)
    listed = listed if len(listed) <= 400 else f"{listed[:400]}…"
    close = nearest(column, columns)
    return DataError(f"{where} has no column '{column}'{close}; its columns: {listed}; set {setting}")
