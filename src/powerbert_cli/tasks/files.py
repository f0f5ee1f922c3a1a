"""Local data files: which of a folder are which split, and what they are."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets

from ..settings.formats import FORMATS, PACKED, UNREAD, format_of, parts_of
from .reading import columns_of, opened, rows_of
from .rows import DataError, Row

SPLIT_FILES = {
    "train": ("train", "training"),
    "dev": ("dev", "validation", "valid", "val", "eval"),
    "test": ("test",),
}
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")  # as the hub and `datasets` name them
_MEANT_AS_DEV = re.compile(r"dev|val|eval|hold.?out|held.?(out|back)", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """train, dev or test, by a file's name: dev.csv, Validation.tsv.gz, train-00000-of-00002.parquet; else None."""
    stem = _PART.sub("", parts_of(name)[0])
    return next((split for split, stems in SPLIT_FILES.items() if stem in stems), None)


def find_files(folder: Path, split: str) -> list[Path]:
    """The file of a split ('train', 'dev' or 'test'), or its parts in order; none if there is none.

    Raises:
        DataError: several files could be meant, or one that is there cannot be read.
    """
    named = sorted(path for path in folder.iterdir() if path.is_file() and split_of(path.name) == split)
    found = [path for path in named if format_of(path.name)]
    for path in named:
        if parts_of(path.name)[1] in (*UNREAD, "txt"):
            raise DataError(
                f"task.data_dir={folder} has {path.name}, which is none of {', '.join(FORMATS)} (also "
                f"{', '.join(PACKED)}); unpack it or save it as one of these, or take it out"
            )
    parts = [_PART.search(parts_of(path.name)[0]) for path in found]
    listed = ", ".join(path.name for path in found)
    if len(found) > 1 and not all(parts):
        raise DataError(f"{folder} has several {split} files: {listed}; keep one")
    given = [tuple(map(int, part.groups())) for part in parts if part]
    if given and given != [(number, len(found)) for number in range(len(found))]:
        raise DataError(f"{folder}: parts of {split} are missing, or of two sets: {listed}; give all of one set")
    return found


def require_files(folder: Path, split: str) -> list[Path]:
    """As `find_files`, but a missing file is an error."""
    found = find_files(folder, split)
    if not found:
        wanted = " or ".join(f"{stem}.*" for stem in SPLIT_FILES[split][:2])
        if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
            raise DataError(f"task.data_dir={folder} is one saved data set; save a DatasetDict with train and dev")
        inside = sorted(path.parent.name for path in folder.glob("*/*") if path.is_file() and split_of(path.name))
        below = f"; task.data_dir={folder / inside[0]} has such files" if inside else ""
        raise DataError(
            f"no {wanted} ({', '.join(FORMATS)}, also {', '.join(PACKED)}) in task.data_dir={folder}{below}"
        )
    return found


def passed_over(folder: Path) -> list[str]:
    """Data files of a folder that are of no split."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return [name for name in names if split_of(name) is None and parts_of(name)[1] in (*FORMATS, *UNREAD)]


def check_dev_is_meant(folder: Path) -> None:
    """Before rows are held back: no file there is the dev split under another name.

    Raises:
        DataError
    """
    for name in passed_over(folder):
        if _MEANT_AS_DEV.search(name):
            raise DataError(
                f"task.data_dir={folder} has {name}, which is no dev.* or validation.*; rename it to "
                f"dev.{name.partition('.')[2]} if it is the dev split, else take it out"
            )


def digest(paths: list[Path]) -> str:
    """SHA-256 of the files' bytes."""
    try:
        each = []
        for path in paths:
            with path.open("rb") as stream:
                each.append(hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return each[0] if len(each) == 1 else hashlib.sha256("\n".join(each).encode()).hexdigest()


def kind_of(path: Path) -> str:
    """The format of a file that `find_files` gave."""
    return format_of(path.name) or ""


def columns_in(paths: list[Path]) -> list[str]:
    """Column names of a file, or of parts that must have the same.

    Raises:
        DataError
    """
    columns = columns_of(paths[0], kind_of(paths[0]))
    for path in paths[1:]:
        if set(columns_of(path, kind_of(path))) != set(columns):
            raise DataError(f"{path}: its columns are others than those of {paths[0].name}")
    if not columns:
        raise DataError(f"{paths[0]} is empty; it needs at least one row")
    return columns


def class_names(paths: list[Path], column: str) -> list[str] | None:
    """The names that a Parquet file written by `datasets` gives to the numbers of a column; None if it has none."""
    if kind_of(paths[0]) != "parquet":
        return None
    each = []
    for path in paths:
        with opened(path, "parquet") as table:
            each.append(names_in(datasets.Features.from_arrow_schema(table.schema), column))
        if each[-1] != each[0]:
            raise DataError(f"{path}: its classes are called {each[-1]}, those of {paths[0].name} {each[0]}")
    return each[0]


def names_in(features: datasets.Features, column: str) -> list[str] | None:
    """As `class_names`, of a data set's features."""
    feature = features.get(column)
    feature = feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature
    return list(feature.names) if isinstance(feature, datasets.ClassLabel) else None


def rows_in(paths: list[Path], columns: list[str]) -> Iterator[tuple[str, Row]]:
    """The rows of a file or of its parts, each with its place; see `reading.rows_of`."""
    for path in paths:
        where = f"{path.name} " if len(paths) > 1 else ""
        yield from ((f"{where}{place}", row) for place, row in rows_of(path, kind_of(path), columns))


def rows_beside(paths: list[Path], of_files: list[str], columns: list[str]) -> Iterator[tuple[str, Row]]:
    """As `rows_in`; what columns of files name by a relative path is looked for beside the file of rows.

    Args:
        of_files: those columns.
    """
    for place, row in rows_in(paths, columns):
        for column in of_files:
            row[column] = beside(row.get(column), paths[0].parent)
        yield place, row


def beside(value: Any, folder: Path) -> Any:
    """A path, or {bytes, path} as `datasets` has it, with the path from this folder on; all else as it is."""
    if isinstance(value, dict) and value.get("bytes") is None:
        value = value.get("path")
    # of a name that begins with ~ and is no user's, the ~ stays
    return str(folder / os.path.expanduser(value)) if isinstance(value, str) and value else value
