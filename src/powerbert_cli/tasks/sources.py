"""A task's rows in one form: columns text, text_pair (pairs), choices (multiple choice) and label."""

import hashlib
import math
from dataclasses import dataclass, replace
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
# Names that the original RACE files use for the questions of one passage, all in one row.
_RACE = {"questions": "question", "options": "options", "answers": "answer"}
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
        columns = columns_of(path)
        if _is_race(columns):
            continue
        _text_columns(path, columns, task)
        for column, setting in ((task.label_column, "label_column"), (task.options_column, "options_column")):
            if column is not None and column not in columns:
                raise _no_column(path, column, columns, f"task.{setting}")


def load_test(task: TaskSettings) -> datasets.Dataset:
    """The test rows in the same form, without labels.

    Raises:
        DataError: if there is no test split.
    """
    if task.data_dir:
        path = find_file(Path(task.data_dir), "test")
        if path is None:
            raise DataError(f"predict_test=true needs a test.* file in task.data_dir={task.data_dir}")
        if kind_of(path) != "parquet":
            check_text(path)
        return _normalise(read(path), task, str(path), labelled=False)
    if task.synthetic:
        raise DataError("predict_test=true: the generated task has no test split; set task and task.data_dir")
    return _normalise(_hub_split(task, task.test_split), task, f"{task.hub_path} {task.test_split}", labelled=False)


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
    columns = (task.text_columns, task.options_column, task.label_column)
    decides = (source, task.kind, columns, task.label_names, limits)
    return TaskData(rows["train"], rows["dev"], hashlib.sha256(repr(decides).encode()).hexdigest()[:16])


def _generated(sizes: dict[str, int]) -> dict[str, datasets.Dataset]:
    made = {}
    for split, offset in (("train", 0), ("dev", 1)):
        texts, labels = synthetic.generate(sizes[split], 2 * sizes["seed"] + offset, sizes["max_words"])
        made[split] = datasets.Dataset.from_dict({"text": texts, "label": labels})
    return made


def _from_hub(task: TaskSettings) -> dict[str, datasets.Dataset]:
    return {"train": _hub_split(task, "train"), "dev": _hub_split(task, task.dev_split)}


def _hub_split(task: TaskSettings, split: str) -> datasets.Dataset:
    try:
        return datasets.load_dataset(task.hub_path, task.hub_name, split=split)
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


def _normalise(rows: datasets.Dataset, task: TaskSettings, where: str, labelled: bool = True) -> datasets.Dataset:
    if _is_race(rows.column_names):
        rows = _one_row_for_each_question(rows)
    columns = _text_columns(where, rows.column_names, task)
    wanted = [(task.label_column, "task.label_column")] if labelled else []
    if task.options_column:
        wanted.append((task.options_column, "task.options_column"))
    for column, setting in wanted:
        if column not in rows.column_names:
            raise _no_column(where, column, rows.column_names, setting)
    targets = ["text", "text_pair"][: len(columns)]

    def convert(batch: dict[str, list[Any]], index: list[int]) -> dict[str, list[Any]]:
        out: dict[str, list[Any]] = {
            target: [_text(value, where, i, column) for value, i in zip(batch[column], index, strict=True)]
            for target, column in zip(targets, columns, strict=True)
        }
        if task.options_column:
            out["choices"] = [
                _choices(v, task, where, i) for v, i in zip(batch[task.options_column], index, strict=True)
            ]
        if labelled:
            out["label"] = [_label(v, task, where, i) for v, i in zip(batch[task.label_column], index, strict=True)]
        return out

    kinds: dict[str, Any] = {target: datasets.Value("string") for target in targets}
    if task.options_column:
        kinds["choices"] = datasets.List(datasets.Value("string"))
    if labelled:
        kinds["label"] = {
            "regression": datasets.Value("float32"),
            "multi_label": datasets.List(datasets.Value("float32")),
        }.get(task.kind, datasets.Value("int64"))
    decides = (rows._fingerprint, columns, wanted, task.kind, task.label_names, labelled)
    return rows.map(
        convert,
        batched=True,
        with_indices=True,
        remove_columns=rows.column_names,
        features=datasets.Features(kinds),
        new_fingerprint=hashlib.sha256(repr(decides).encode()).hexdigest()[:16],
    )


def _is_race(columns: list[str]) -> bool:
    return {"article", *_RACE} <= set(columns)


def _one_row_for_each_question(rows: datasets.Dataset) -> datasets.Dataset:
    """The original RACE files have a passage with the lists of its questions, options and answers in a row."""

    def spread(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        out: dict[str, list[Any]] = {"article": [], "question": [], "options": [], "answer": []}
        for i, article in enumerate(batch["article"]):
            out["article"] += [article] * len(batch["questions"][i])
            for many, one in _RACE.items():
                out[one] += batch[many][i]
        return out

    return rows.map(spread, batched=True, remove_columns=rows.column_names)


def _choices(value: Any, task: TaskSettings, where: str, row: int) -> list[str]:
    count = len(task.label_names or ())
    if not isinstance(value, list) or len(value) != count or any(choice is None for choice in value):
        raise DataError(
            f"{where}: row {row + 1} has {task.options_column}={value!r}; it must be a list of {count} choices "
            "(task.label_names)"
        )
    return [str(choice) for choice in value]


def _text(value: Any, where: str, row: int, column: str) -> str:
    if value is None:
        raise DataError(f"{where}: row {row + 1} has no '{column}'; an empty text is allowed, a missing field is not")
    return str(value)


def _label(value: Any, task: TaskSettings, where: str, row: int) -> int | float | list[float]:
    names = task.label_names
    if task.kind == "multi_label":
        return _label_set(value, task, where, row)
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


def _label_set(value: Any, task: TaskSettings, where: str, row: int) -> list[float]:
    """One 0 or 1 for each class, from a list of names or numbers, or a text of them with commas between."""
    assert task.label_names is not None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        value = [] if value is None else [value]
    single = replace(task, kind="classification", metric="accuracy")
    found = {_label(part, single, where, row) for part in value}
    return [float(c in found) for c in range(len(task.label_names))]
