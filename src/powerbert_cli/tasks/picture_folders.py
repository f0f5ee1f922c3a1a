"""Folders of pictures, a folder for each class, as imagefolder of `datasets` has them: SPLIT/CLASS/PICTURE."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ..kinds.pictures import ENDINGS, is_picture
from .files import SPLIT_FILES
from .rows import DataError, Row
from .source import Source

COLUMNS = ("image", "label")
_LEFT_ALONE = ("thumbs.db", "desktop.ini", "__macosx")  # of those, and hidden ones, systems make some


def split_folder(folder: Path, split: str) -> Path | None:
    """The folder of a split ('train', 'dev' or 'test'); None if there is none.

    Raises:
        DataError: several could be meant.
    """
    found = sorted(one for one in folder.iterdir() if one.is_dir() and one.name.lower() in SPLIT_FILES[split])
    if len(found) > 1:
        raise DataError(f"{folder} has several {split} folders: {', '.join(one.name for one in found)}; keep one")
    return found[0] if found else None


def source(folder: Path, split: str) -> Source | None:
    """A split of a folder of pictures; None if it has none.

    Raises:
        DataError: a class without pictures, one that train does not have, a file that is no picture by its name.
    """
    found = split_folder(folder, split)
    if found is None:
        if split == "train":
            raise DataError(_no_train(folder))
        return None
    classes = [one for one in _inside(found) if one.is_dir()]
    loose = [one for one in _inside(found) if not one.is_dir()]
    if classes and loose:
        raise DataError(f"{found} has {loose[0].name} beside folders of classes; put it into the folder of its class")
    if loose and split != "test":
        raise DataError(f"{found} has pictures and no folders of classes; put each into {found.name}/CLASS")
    if split != "train":
        _check_known(found, classes, split_folder(folder, "train"))
    pictures = [one for place in classes or [found] for one in _pictures(place)]
    if not pictures:
        raise DataError(f"{found} is empty; it needs a folder with pictures for each class")
    columns = [*COLUMNS] if classes else [COLUMNS[0]]

    def rows(wanted: list[str]) -> Iterator[tuple[str, Row]]:
        for one in pictures:
            label = {"label": one.parent.name} if classes else {}
            yield str(one.relative_to(found)), {"image": str(one), **label}

    return Source(str(found), _digest(found, pictures), columns, lambda column: None, rows)


def _inside(folder: Path) -> list[Path]:
    names = (one for one in folder.iterdir() if not one.name.startswith("."))
    return sorted(one for one in names if one.name.lower() not in _LEFT_ALONE)


def _pictures(folder: Path) -> list[Path]:
    """
    Raises:
        DataError: there is none, or something else.
    """
    found = _inside(folder)
    if not found:
        raise DataError(f"{folder} is empty; give pictures of this class, or remove the folder")
    for one in found:
        if one.is_dir():
            raise DataError(f"{one} is a folder in the folder of a class; put its pictures into {folder}")
        if not is_picture(one.name):
            raise DataError(f"{one} is no picture by its name ({', '.join(ENDINGS)}); take it out, or rename it")
    return found


def _check_known(folder: Path, classes: list[Path], train: Path | None) -> None:
    known = {one.name for one in _inside(train) if one.is_dir()} if train is not None else set()
    new = next((one.name for one in classes if one.name not in known), None)
    if train is not None and new is not None:
        raise DataError(
            f"{folder} has the class '{new}', which {train} does not have (its classes: {', '.join(sorted(known))}); "
            f"give training pictures of it, or remove {folder / new}"
        )


def _no_train(folder: Path) -> str:
    below = [one.name for one in _inside(folder) if one.is_dir()]
    if below and all(any(is_picture(one.name) for one in (folder / name).iterdir()) for name in below):
        return f"task.data_dir={folder} has the folders {', '.join(below)} and no train; put them into {folder}/train"
    return (
        f"no train/CLASS with pictures, and no train.* with a column of pictures, in task.data_dir={folder}; give one"
    )


def _digest(folder: Path, pictures: list[Path]) -> str:
    """Of all pictures and of what they are called."""
    found = hashlib.sha256()
    for one in pictures:
        try:
            with one.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{one}: cannot be read: {error.strerror or error}") from error
        found.update(f"{one.relative_to(folder)}\n{content}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()
