"""A task's rows in one form: columns text, text_pair (pairs only) and label."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from ..errors import nearest
from ..settings import TaskSettings
from . import synthetic
from .files import DataError, check_text, columns_of, digest, find_file, kind_of, read, require_file

datasets.disable_progress_bars()

# Column names that local copies of GLUE often use whatever the hub calls them.
UNIFORM_COLUMNS = {1: ["sentence"], 2: ["sentence1", "sentence2"]}
_SUBSET_SEED = 0


@dataclass(frozen=True)
class TaskData:
    """Rows of the splits, and a fingerprint of all that decides them."""

    train: datasets.Dataset
    dev: datasets.Dataset
    fingerprint: str


def check_source(task: TaskSettings) -> None:
    """Finds what is wrong with local files as far as can be told without reading the rows.

    Raises:
        DataError
    """
    if not task.data_dir:
        return
    folder = Path(task.data_dir)
    paths = [require_file(folder, "train"), require_file(folder, "dev"), find_file(folder, "test")]
    for path in filter(None, paths[:2]):
        if kind_of(path) != "parquet":
            check_text(path)
        _text_columns(path, columns_of(path), task)
        if task.label_column not in (columns := columns_of(path)):
            raise _no_column(path, task.label_column, columns, "task.label_column")


def load_task(task: TaskSettings) -> TaskData:
    """The training and dev rows of a task: from local files, the generator, or the hub.

    Raises:
        DataError: a missing file or column, a label out of range, a hub that can't be reached.
    """
    if task.data_dir:
        folder = Path(task.data_dir)
        paths = {split: require_file(folder, split) for split in ("train", "dev")}
        raw = {split: read(path) for split, path in paths.items()}
        source: Any = {split: digest(path) for split, path in paths.items()}
        names = {split: str(path) for split, path in paths.items()}
    elif task.synthetic:
        raw, source = _generated(task.synthetic), {"generator": synthetic.VERSION, **task.synthetic}
        names = dict.fromkeys(raw, "generated")
    else:
        raw = _from_hub(task)
        source = {split: rows._fingerprint for split, rows in raw.items()}
        names = {split: f"{task.hub_path} {split}" for split in raw}
    limits = {"train": task.max_train, "dev": task.max_dev}
    rows = {split: _normalise(_subset(raw[split], limits[split]), task, names[split]) for split in ("train", "dev")}
    decides = (source, task.text_columns, task.label_column, task.label_names, limits)
    return TaskData(rows["train"], rows["dev"], hashlib.sha256(repr(decides).encode()).hexdigest()[:16])


def _generated(sizes: dict[str, int]) -> dict[str, datasets.Dataset]:
    made = {}
    for split, offset in (("train", 0), ("dev", 1)):
        texts, labels = synthetic.generate(sizes[split], 2 * sizes["seed"] + offset, sizes["max_words"])
        made[split] = datasets.Dataset.from_dict({"text": texts, "label": labels})
    return made


def _from_hub(task: TaskSettings) -> dict[str, datasets.Dataset]:
    try:
        splits = {"train": "train", "dev": task.dev_split}
        return {
            name: datasets.load_dataset(task.hub_path, task.hub_name, split=split) for name, split in splits.items()
        }
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"dataset {task.hub_path} cannot be had from the hub ({type(error).__name__}: {first}); without a "
            f"network give task.data_dir=FOLDER with train.tsv and dev.tsv "
            f"(columns {', '.join(task.text_columns)}, {task.label_column})"
        ) from error


def _subset(rows: datasets.Dataset, limit: int | None) -> datasets.Dataset:
    if limit is None or limit >= len(rows):
        return rows
    return rows.shuffle(seed=_SUBSET_SEED).select(range(limit))


def _no_column(where: Any, column: str, columns: list[str], setting: str) -> DataError:
    return DataError(
        f"{where} has no column '{column}'{nearest(column, columns)}; its columns: {', '.join(columns)}; set {setting}"
    )


def _text_columns(where: Any, columns: list[str], task: TaskSettings) -> list[str]:
    if all(column in columns for column in task.text_columns):
        return task.text_columns
    uniform = UNIFORM_COLUMNS[len(task.text_columns)]
    if all(column in columns for column in uniform):
        return uniform
    missing = next(column for column in task.text_columns if column not in columns)
    raise _no_column(where, missing, columns, "task.text_columns")


def _normalise(rows: datasets.Dataset, task: TaskSettings, where: str) -> datasets.Dataset:
    columns = _text_columns(where, rows.column_names, task)
    if task.label_column not in rows.column_names:
        raise _no_column(where, task.label_column, rows.column_names, "task.label_column")
    targets = ["text", "text_pair"][: len(columns)]

    def convert(batch: dict[str, list[Any]], index: list[int]) -> dict[str, list[Any]]:
        out: dict[str, list[Any]] = {
            target: [_text(value, where, i, column) for value, i in zip(batch[column], index, strict=True)]
            for target, column in zip(targets, columns, strict=True)
        }
        out["label"] = [_label(v, task, where, i) for v, i in zip(batch[task.label_column], index, strict=True)]
        return out

    kinds = {target: datasets.Value("string") for target in targets}
    kinds["label"] = datasets.Value("float32" if task.regression else "int64")
    return rows.map(
        convert, batched=True, with_indices=True, remove_columns=rows.column_names, features=datasets.Features(kinds)
    )


def _text(value: Any, where: str, row: int, column: str) -> str:
    if value is None:
        raise DataError(f"{where}: row {row + 1} has no '{column}'; an empty text is allowed, a missing field is not")
    return str(value)


def _label(value: Any, task: TaskSettings, where: str, row: int) -> int | float:
    names = task.label_names
    if names is None:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"{where}: row {row + 1} has label {value!r}; regression needs a finite number")
        return number
    if isinstance(value, str) and value in names:
        return names.index(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number.is_integer() and 0 <= number < len(names)):
        raise DataError(
            f"{where}: row {row + 1} has label {value!r}; it must be 0 to {len(names) - 1} or one of {', '.join(names)}"
            " (task.label_names)"
        )
    return int(number)
