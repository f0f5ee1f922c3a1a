"""A task's rows in one form: columns text, text_pair (pairs), choices (multiple choice) and label."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache as cache_calls
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from ..settings import TaskSettings
from . import cache, files
from .columns import chosen, text_of
from .labels import LabelError, reader_for, truth_of
from .metrics import undefined_on
from .origins import RACE, Source, finder, is_race, questions_of
from .rows import DataError, RowError, no_column, shown

log = logging.getLogger(__name__)
datasets.disable_progress_bars()

_SUBSET_SEED = 0
_FOLDS_SEED = 0
HELD_BACK, _HELD_BACK_SEED = 0.2, 0  # of the training rows, where a task has no dev split (as the paper did for IMDB)


@dataclass(frozen=True)
class Rows:
    """Rows in one form, and a digest of their content: it does not depend on files, columns or names of classes."""

    rows: datasets.Dataset
    content: str

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> np.ndarray:
        """(n,), or (n, C) of a multi-label task."""
        return np.asarray(self.rows.with_format("numpy")["label"][:])


@dataclass(frozen=True)
class TaskData:
    """Rows of the splits.

    Attributes:
        test: None if there is no test split.
        held_back: dev are training rows that were held back, as the task has no dev split of its own.
    """

    train: Rows
    dev: Rows
    test: Rows | None
    held_back: bool

    @property
    def tests(self) -> bool:
        """Whether the test split has labels to measure by."""
        return self.test is not None and "label" in self.test.rows.column_names


def load_task(task: TaskSettings, predict_test: bool = False) -> TaskData:
    """The rows of a task: from local files, the generator, or the hub. All of it is read and checked.

    Args:
        predict_test: the test split is wanted; else it is read only if dev is held back and it has labels.

    Raises:
        DataError: a missing file or column, a label out of range, a metric that is not defined on dev, a hub that
            can't be reached.
    """
    find = finder(task)
    train, own_dev = find("train"), None if task.folds else find("dev")
    held_back = own_dev is None
    test = find("test") if predict_test or (held_back and not task.folds) else None
    if train is None:
        raise DataError(f"task={task.name} has no training rows")
    if predict_test and test is None:
        raise DataError(_no_test(task))
    rows = {"train": _normalised(train, task, True)}
    if task.folds:
        rows["train"], rows["dev"] = _fold(_subset(rows["train"], task.max_train), task, train.name)
    elif own_dev is not None:
        rows["dev"] = _normalised(own_dev, task, True)
    else:
        rows["train"], rows["dev"] = _held_back(rows["train"], task, train.name)
    rows["train"], rows["dev"] = _subset(rows["train"], task.max_train), _subset(rows["dev"], task.max_dev)
    if undefined := undefined_on(task.metric, rows["dev"].labels):
        few = f" (task.max_dev={task.max_dev})" if task.max_dev is not None else ""
        where = own_dev.name if own_dev is not None else f"the rows held back of {train.name}"
        raise DataError(f"{where}{few}: task.metric={task.metric} is not defined there: {undefined}")
    if task.kind == "classification" and len(np.unique(rows["train"].labels)) == 1:
        log.warning(
            "%s: all %d training rows are of one class; nothing can be learnt of them", train.name, len(rows["train"])
        )
    labelled = test is not None and _has_labels(test, task)
    tested = None
    if test is not None and (predict_test or labelled):
        tested = _subset(_normalised(test, task, labelled), task.max_test)
    return TaskData(rows["train"], rows["dev"], tested, held_back)


def _no_test(task: TaskSettings) -> str:
    if task.data_dir:
        return f"predict_test=true needs a test.* file in task.data_dir={task.data_dir}"
    return "predict_test=true: the generated task has no test split; set task and task.data_dir"


def _held_back(rows: Rows, task: TaskSettings, name: str) -> tuple[Rows, Rows]:
    """Training rows and dev rows of a task without a dev split: a fifth is held back, drawn once with a fixed seed."""
    if task.data_dir:
        files.check_dev_is_meant(Path(task.data_dir))
        if others := files.passed_over(Path(task.data_dir)):
            _say_once("task.data_dir=%s: %s: no split's files, left alone", task.data_dir, ", ".join(others))
    count = round(HELD_BACK * len(rows))
    if count == 0:
        raise DataError(f"{name} has {len(rows)} rows, too few to hold any back as dev; give dev.* of its own")
    order = np.random.default_rng(_HELD_BACK_SEED).permutation(len(rows))
    _say_once("%s: no dev split of its own: %d of %d training rows are held back for it", name, count, len(rows))
    parts = {"train": np.sort(order[count:]), "dev": np.sort(order[:count])}
    train, dev = (
        Rows(rows.rows.select(index), _digest(rows.content, f"{split} of {HELD_BACK} seed {_HELD_BACK_SEED}"))
        for split, index in parts.items()
    )
    return train, dev


def _fold(rows: Rows, task: TaskSettings, name: str) -> tuple[Rows, Rows]:
    """Training rows and dev rows of a fold (of the first, where all are gone over): drawn once with a fixed seed."""
    assert task.folds is not None
    labels, fold = rows.labels, task.fold or 0
    classes = task.kind == "classification"
    smallest = int(np.unique(labels, return_counts=True)[1].min()) if classes else len(rows)
    if smallest < task.folds:
        what = "rows of its rarest class" if classes else "rows"
        raise DataError(f"{name} has {smallest} {what}, fewer than task.folds={task.folds}; set fewer folds")
    cut = (StratifiedKFold if classes else KFold)(task.folds, shuffle=True, random_state=_FOLDS_SEED)
    parts = list(cut.split(np.zeros(len(rows)), labels if classes else None))[fold]
    about = f"of fold {fold} of {task.folds} seed {_FOLDS_SEED}"
    train, dev = (
        Rows(rows.rows.select(index), _digest(rows.content, f"{split} {about}"))
        for split, index in zip(("train", "dev"), parts, strict=True)
    )
    return train, dev


def _subset(rows: Rows, limit: int | None) -> Rows:
    if limit is None or limit >= len(rows):
        return rows
    with cache.writing():
        few = rows.rows.shuffle(seed=_SUBSET_SEED).select(range(limit))
    return Rows(few, _digest(rows.content, f"{limit} seed {_SUBSET_SEED}"))


@cache_calls
def _say_once(text: str, *values: Any) -> None:
    """What is read before a training is read again in it."""
    log.info(text, *values)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _has_labels(source: Source, task: TaskSettings) -> bool:
    """Whether a test split has labels: all of -1 marks those that are kept secret on the hub."""
    if is_race(source.columns):
        return True
    _, columns = _label_columns(source, task)
    if columns is None:
        return False
    none = {"-1", "-1.0", "", "None"} - set(task.label_names or ())
    return any(str(row.get(column)) not in none for _, row in source.rows(columns) for column in columns)


def _text_columns(source: Source, task: TaskSettings) -> list[str]:
    found = chosen(source.name, source.columns, task.text_columns, "task.text_columns", task.hub_path is not None)
    if found != task.text_columns:
        _say_once("%s: columns %s stand for %s", source.name, ", ".join(found), ", ".join(task.text_columns))
    return found


def _label_columns(source: Source, task: TaskSettings) -> tuple[bool, list[str] | None]:
    """Whether each class has a column of its own, and the columns of labels; None if there are none."""
    if task.label_column in source.columns:
        return False, [task.label_column]
    names = task.label_names or []
    if task.kind == "multi_label" and all(name in source.columns for name in names):
        return True, names
    return False, None


def _normalised(source: Source, task: TaskSettings, labelled: bool) -> Rows:
    """The rows of a split in one form, each checked.

    Raises:
        DataError: names the row as the file counts it.
    """
    questions = is_race(source.columns)
    columns = task.text_columns if questions else _text_columns(source, task)
    each, label_columns = (False, [task.label_column]) if questions else _label_columns(source, task)
    if labelled and label_columns is None:
        raise no_column(source.name, task.label_column, source.columns, "task.label_column")
    if task.options_column and not questions and task.options_column not in source.columns:
        raise no_column(source.name, task.options_column, source.columns, "task.options_column")
    targets = ["text", "text_pair"][: len(columns)]
    labels = label_columns if labelled and label_columns else []
    wanted = [*columns, *labels, *([task.options_column] if task.options_column else [])]
    try:
        names = source.class_names(labels[0]) if labels and not each else None
        read: Any = None if not labels else (_truths if each else reader_for(task, names))
    except LabelError as error:
        raise DataError(f"{source.name}: {error}") from error

    def rows() -> Iterator[dict[str, Any]]:
        place = ""
        try:
            for at, row in questions_of(source.rows(["article", *RACE] if questions else wanted)):
                place = at
                out: dict[str, Any] = {
                    to: text_of(row.get(column), column) for to, column in zip(targets, columns, strict=True)
                }
                if task.options_column:
                    out["choices"] = _choices(row.get(task.options_column), task)
                if read is not None:
                    out["label"] = read([row.get(name) for name in labels] if each else row.get(labels[0]))
                yield out
        except RowError as error:
            raise DataError(f"{source.name}: {place} {error}") from error
        if not place:
            raise DataError(f"{source.name} has no rows")

    decides = (source.digest, columns, labels, task.options_column, task.kind, task.label_names, names)
    return Rows(*cache.cached(decides, _features(task, targets, bool(labels)), rows))


def _features(task: TaskSettings, targets: list[str], labelled: bool) -> datasets.Features:
    kinds: dict[str, Any] = {target: datasets.Value("string") for target in targets}
    if task.options_column:
        kinds["choices"] = datasets.List(datasets.Value("string"))
    if labelled:
        kinds["label"] = {
            "regression": datasets.Value("float32"),
            "multi_label": datasets.List(datasets.Value("float32")),
        }.get(task.kind, datasets.Value("int64"))
    return datasets.Features(kinds)


def _truths(values: list[Any]) -> list[float]:
    """A 0 or 1 of each class, from a column each."""
    found = []
    for value in values:
        known = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}.get(str(value))
        truth = truth_of(value)
        if known is None and truth is None:
            raise LabelError(f"has {shown(value)} in the column of a class; it must be 0 or 1")
        found.append(known if known is not None else float(bool(truth)))
    return found


def _choices(value: Any, task: TaskSettings) -> list[str]:
    count = len(task.label_names or ())
    if not isinstance(value, list) or len(value) != count or any(choice is None for choice in value):
        raise LabelError(
            f"has {task.options_column}={shown(value)}; it must be a list of {count} choices (task.label_names)"
        )
    return [text_of(choice, task.options_column or "") for choice in value]
