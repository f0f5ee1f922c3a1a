"""Folders of pictures or of clips, as imagefolder and audiofolder of `datasets` have them.

SPLIT/CLASS/FILE, a folder for each class; or SPLIT/FILE with a table SPLIT/metadata.csv (tsv, jsonl, parquet), whose
column file_name says which file a row is of.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..kinds import Kind, pictures, sounds
from ..settings.formats import format_of
from . import files
from .files import SPLIT_FILES
from .rows import DataError, Row
from .source import Source

TABLE = "metadata"
_LEFT_ALONE = ("thumbs.db", "desktop.ini", "__macosx")  # of those, and hidden ones, systems make some


@dataclass(frozen=True)
class Medium:
    """
    Attributes:
        column: of the files in the rows. are, one: what they are called. endings: of their names.
        known: whether a file is one, by its name.
    """

    column: str
    are: str
    one: str
    endings: tuple[str, ...]
    known: Callable[[str], bool]


MEDIA = {
    "image": Medium("image", "pictures", "picture", pictures.ENDINGS, pictures.is_picture),
    "audio": Medium("audio", "clips", "clip of sound", sounds.ENDINGS, sounds.is_sound),
}


def medium_of(kind: Kind) -> Medium:
    """That of the rows of a kind of tasks about files."""
    assert kind.MEDIUM is not None
    return MEDIA[kind.MEDIUM]


def split_folder(folder: Path, split: str) -> Path | None:
    """The folder of a split ('train', 'dev' or 'test'); None if there is none.

    Raises:
        DataError: several could be meant.
    """
    found = sorted(one for one in folder.iterdir() if one.is_dir() and one.name.lower() in SPLIT_FILES[split])
    if len(found) > 1:
        raise DataError(f"{folder} has several {split} folders: {', '.join(one.name for one in found)}; keep one")
    return found[0] if found else None


def source(folder: Path, split: str, medium: Medium, texts: list[str], spelt: str | None = None) -> Source | None:
    """A split of a folder of files; None if it has none.

    Args:
        texts: columns of a table that name files. spelt: its column of transcripts, where those are the labels, which
            no folders say.

    Raises:
        DataError: a class without files, one that train does not have, a file that is none of the medium by its name.
    """
    found = split_folder(folder, split)
    if found is None:
        if split == "train":
            raise DataError(_no_train(folder, medium, spelt))
        return None
    tables = [one for one in _inside(found) if one.stem.lower() == TABLE and format_of(one.name)]
    if tables:
        return _of_table(found, tables, texts)
    if spelt is not None and split != "test":
        raise DataError(
            f"{found} has no {TABLE}.csv (tsv, jsonl, parquet), which says what is said in its {medium.are}; give one "
            f"with the columns file_name and {spelt}"
        )
    classes = [one for one in _inside(found) if one.is_dir()]
    loose = [one for one in _inside(found) if not one.is_dir()]
    if classes and loose:
        raise DataError(f"{found} has {loose[0].name} beside folders of classes; put it into the folder of its class")
    if loose and split != "test":
        raise DataError(
            f"{found} has {medium.are} and no folders of classes; put each into {found.name}/CLASS, or give "
            f"{found.name}/{TABLE}.csv with the columns file_name and label"
        )
    if split != "train":
        _check_known(found, classes, split_folder(folder, "train"), medium)
    each = [one for place in classes or [found] for one in _files(place, medium)]
    if not each:
        raise DataError(f"{found} is empty; it needs a folder with {medium.are} for each class")
    columns = [medium.column, "label"] if classes else [medium.column]

    def rows(wanted: list[str]) -> Iterator[tuple[str, Row]]:
        for one in each:
            label = {"label": one.parent.name} if classes else {}
            yield str(one.relative_to(found)), {medium.column: str(one), **label}

    return Source(str(found), _digest(found, each), columns, lambda column: None, rows)


def _of_table(folder: Path, tables: list[Path], texts: list[str]) -> Source:
    """
    Raises:
        DataError: there are several tables.
    """
    if len(tables) > 1:
        raise DataError(f"{folder} has several tables: {', '.join(one.name for one in tables)}; keep one")
    return of_rows(str(tables[0]), tables, texts)


def of_rows(name: str, paths: list[Path], texts: list[str]) -> Source:
    """A split of files of rows, whose digest is also of the content of the files that these name.

    Args:
        texts: columns that name files.
    """
    columns = files.columns_in(paths)
    digest = f"{files.digest(paths)} {files.kind_of(paths[0])} {_digest_of_named(paths, texts, columns)}"
    return Source(name, digest, columns, partial(files.class_names, paths), partial(files.rows_beside, paths, texts))


def _inside(folder: Path) -> list[Path]:
    names = (one for one in folder.iterdir() if not one.name.startswith("."))
    return sorted(one for one in names if one.name.lower() not in _LEFT_ALONE)


def _files(folder: Path, medium: Medium) -> list[Path]:
    """
    Raises:
        DataError: there is none, or something else.
    """
    found = _inside(folder)
    if not found:
        raise DataError(f"{folder} is empty; give {medium.are} of this class, or remove the folder")
    for one in found:
        if one.is_dir():
            raise DataError(f"{one} is a folder in the folder of a class; put its {medium.are} into {folder}")
        if not medium.known(one.name):
            raise DataError(
                f"{one} is no {medium.one} by its name ({', '.join(medium.endings)}); take it out, or rename it"
            )
    return found


def _check_known(folder: Path, classes: list[Path], train: Path | None, medium: Medium) -> None:
    known = {one.name for one in _inside(train) if one.is_dir()} if train is not None else set()
    new = next((one.name for one in classes if one.name not in known), None)
    if train is not None and new is not None:
        raise DataError(
            f"{folder} has the class '{new}', which {train} does not have (its classes: {', '.join(sorted(known))}); "
            f"give training {medium.are} of it, or remove {folder / new}"
        )


def _no_train(folder: Path, medium: Medium, spelt: str | None) -> str:
    below = [one.name for one in _inside(folder) if one.is_dir()]
    if below and all(any(medium.known(one.name) for one in (folder / name).iterdir()) for name in below):
        return f"task.data_dir={folder} has the folders {', '.join(below)} and no train; put them into {folder}/train"
    wanted = f"train/CLASS with {medium.are}" if spelt is None else f"train/{TABLE}.csv (file_name, {spelt})"
    return f"no {wanted}, and no train.* with a column of {medium.are}, in task.data_dir={folder}; give one"


def _digest(folder: Path, each: list[Path]) -> str:
    """Of all files and of what they are called."""
    found = hashlib.sha256()
    for one in each:
        try:
            with one.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{one}: cannot be read: {error.strerror or error}") from error
        found.update(f"{one.relative_to(folder)}\n{content}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _digest_of_named(paths: list[Path], texts: list[str], columns: list[str]) -> str:
    """Of the content of all files that rows name, in their order; of those that are there."""
    found, wanted = hashlib.sha256(), [column for column in texts if column in columns]
    rows = files.rows_beside(paths, wanted, wanted) if wanted else iter(())
    for one in (Path(row[column]) for _, row in rows for column in wanted if isinstance(row[column], str)):
        if os.path.isfile(one):  # as pathlib's, but of a name that is too long for a file too
            found.update(files.digest([one]).encode())
        found.update(b"\n")
    return found.hexdigest()
