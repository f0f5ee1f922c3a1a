"""Answers that are written as they come, beside columns of the input."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from ..kinds import Kind
from ..settings.formats import parts_of
from ..settings.predict import VECTORS
from .reading import STANDARD
from .rows import DataError

Write = Callable[[list[dict[str, Any]]], None]
# Column → its type in Parquet; None: that of the first rows.
Fields = dict[str, Any]
_OPENERS: dict[str, Any] = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_WORDS = pyarrow.list_(pyarrow.struct([("word", pyarrow.string()), ("layer", pyarrow.int64())]))


def answer_fields(kind: Kind, words: bool) -> Fields:
    """Of the columns of an answer.

    Args:
        words: each word with its last layer stands there too.

    Raises:
        DataError: that is not for this kind.
    """
    if words and kind.MEDIUM is not None:
        raise DataError(f"predict.survivors=true follows words, and {kind.ARE} have none; set predict.survivors=false")
    if words and kind.CANDIDATES:
        raise DataError(
            f"predict.survivors=true follows the words of one input for each row, and a row of task.kind={kind.NAME} "
            "has several; set predict.survivors=false"
        )
    fields = {name: _arrow(of) for name, of in kind.answer_types().items()}
    return {**fields, "words": _WORDS} if words else fields


def _arrow(of: Any) -> Any:
    """A type of `Kind.answer_types` as Arrow has it."""
    if isinstance(of, str):
        return pyarrow.type_for_alias(of)
    if isinstance(of, dict):
        return pyarrow.struct([(name, _arrow(one)) for name, one in of.items()])
    return pyarrow.list_(_arrow(of[0]))


@contextmanager
def writing_rows(target: str, kind: str, fields: Fields) -> Iterator[Write]:
    """A function that writes rows with these fields: to a file, or to standard output (-) as lines without a header.

    A file is FILE.part until all is written.

    Raises:
        DataError: by that function: a value is of another type than those before it.
    """
    if target == STANDARD and kind != "parquet":
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=False)
        try:
            write = _writer(stream, kind)

            def flushed(rows: list[dict[str, Any]]) -> None:
                write(rows)
                stream.flush()

            yield flushed
        finally:
            stream.detach()
        return
    if target == STANDARD:
        # a copy of the descriptor: what Arrow writes to, it closes
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as own:
            sys.stdout.flush()
            with pyarrow.PythonFile(own, mode="w") as sink, _parquet_writer(sink, fields) as write:
                yield write
        return
    target = os.path.realpath(target)  # a link stays one
    part = Path(f"{target}.part")
    if kind == VECTORS:
        with _vector_writer(part) as write:
            yield write
    elif kind == "parquet":
        with _parquet_writer(str(part), fields) as write:
            yield write
    else:
        with _OPENERS[parts_of(target)[2]](part, "wt", encoding="utf-8", newline="") as stream:
            if kind != "jsonl":
                csv.writer(stream, lineterminator="\n", **_options(kind)).writerow(_header(fields))
            yield _writer(stream, kind)
    part.replace(target)


@contextmanager
def _vector_writer(part: Path) -> Iterator[Write]:
    """The one vector of each row as a NumPy array (n, D) of float32; its header says n, so that it is written last."""
    shape = [0, 0]
    with tempfile.TemporaryFile(dir=part.parent) as values:

        def write(rows: list[dict[str, Any]]) -> None:
            for row in rows:
                (vector,) = row.values()
                values.write(np.asarray(vector, dtype=np.float32).tobytes())
                shape[:] = shape[0] + 1, len(vector)

        yield write
        values.seek(0)
        with part.open("wb") as stream:
            about = {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(stream, about)
            shutil.copyfileobj(values, stream)


def _options(kind: str) -> dict[str, Any]:
    """A tsv has no quotes, as it is read."""
    return {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if kind == "tsv" else {}


def _header(fields: Fields) -> list[str]:
    """A column for each probability."""
    names: list[str] = []
    for name, kind in fields.items():
        split = name == "probability" and kind is not None
        names += [f"{name}_{one.name}" for one in kind.fields] if split else [name]
    return names


def _writer(stream: Any, kind: str) -> Write:
    if kind == "jsonl":
        return lambda rows: stream.writelines(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in rows)
    writer = csv.writer(stream, lineterminator="\n", **_options(kind))

    def write(rows: list[dict[str, Any]]) -> None:
        try:
            writer.writerows(_flat(row) for row in rows)
        except csv.Error as error:
            raise DataError(
                "a value has a tab or the end of a line, which tsv cannot hold; write output=FILE.csv, or name the "
                "columns to keep in predict.keep=[…]"
            ) from error

    return write


def _flat(row: dict[str, Any]) -> list[Any]:
    """The fields of a line; what is no single value as JSON."""
    flat: list[Any] = []
    for name, value in row.items():
        if name == "probability":
            flat += [f"{one:.6g}" for one in value.values()]
        elif isinstance(value, dict | list):
            flat.append(json.dumps(value, ensure_ascii=False, default=str))
        else:
            flat.append(f"{value:.6g}" if name == "value" else value)
    return flat


@contextmanager
def _parquet_writer(target: Any, fields: Fields) -> Iterator[Write]:
    writer: Any = None

    def begun(rows: list[dict[str, Any]]) -> Any:
        types = {name: kind or _type_of([row[name] for row in rows]) for name, kind in fields.items()}
        return pyarrow.parquet.ParquetWriter(target, pyarrow.schema(list(types.items())))

    def write(rows: list[dict[str, Any]]) -> None:
        nonlocal writer
        if rows:
            writer = writer or begun(rows)
            writer.write_table(_table(rows, writer.schema))

    try:
        yield write
        writer = writer or begun([])
    finally:
        if writer is not None:
            writer.close()


def _type_of(values: list[Any]) -> Any:
    try:
        found = pyarrow.infer_type(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return pyarrow.string()
    empty = pyarrow.types.is_null(found) or (pyarrow.types.is_struct(found) and not found.num_fields)
    return pyarrow.string() if empty else found


def _check_fields(values: list[Any], kind: Any) -> None:
    """Arrow leaves out the keys that its first objects do not have."""
    if pyarrow.types.is_struct(kind):
        names = {field.name for field in kind.fields}
        more = next((set(value) - names for value in values if isinstance(value, dict) and set(value) - names), None)
        if more:
            raise ValueError(f"an object with the key {min(more)!r}, which those before it do not have")


def _table(rows: list[dict[str, Any]], schema: Any) -> Any:
    columns = []
    for field in schema:
        try:
            columns.append(pyarrow.array([row[field.name] for row in rows], type=field.type))
            _check_fields([row[field.name] for row in rows], field.type)
        except (pyarrow.ArrowException, OverflowError, ValueError) as error:
            raise DataError(
                f"column '{field.name}' of the input has values of several types ({error}), which Parquet cannot hold; "
                "write output=FILE.jsonl, or name the columns to keep in predict.keep=[…]"
            ) from error
    return pyarrow.Table.from_arrays(columns, schema=schema)
