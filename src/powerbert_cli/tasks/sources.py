"""A task's rows in one form: what its kind gives a model, and label."""

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

from ..kinds.kind import objects
from ..kinds.labels import LabelError
from ..kinds.values import RowError
from ..settings import TaskSettings
from . import cache, files
from .columns import chosen
from .metrics import undefined_on
from .origins import RACE, finder, is_race, questions_of
from .rows import DataError, no_column
from .source import Source

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
    def labelled(self) -> bool:
        return "label" in self.rows.column_names

    @property
    def labels(self) -> np.ndarray:
        """(n,), or (n, C) of a multi-label task; lists of classes, and answers to questions, as they are."""
        kind = self.rows.features["label"]
        if isinstance(kind, datasets.Value):
            return np.asarray(self.rows.with_format("numpy")["label"][:])
        values = self.rows["label"][:]
        of_classes = isinstance(kind, datasets.List) and kind.feature.dtype.startswith("float")
        return np.asarray(values) if of_classes and len(set(map(len, values))) == 1 else objects(values)


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
        return self.test is not None and self.test.labelled


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
    kind = task.of_kind
    unlabelled = kind.label_columns(train.columns, task.label_column) is None
    learns = not (unlabelled and (kind.TAUGHT or kind.MAY_BE_TAUGHT))
    if held_back and not learns:
        raise DataError(
            f"task={task.name}: there is no dev split, and {train.name} has no column '{task.label_column}' to measure "
            f"task.metric={task.metric} by; give dev.* with labels"
        )
    rows = {"train": _normalised(train, task, learns)}
    if task.folds:
        rows["train"], rows["dev"] = _fold(_subset(rows["train"], task.max_train), task, train.name)
    elif own_dev is not None:
        rows["dev"] = _normalised(own_dev, task, True)
    else:
        rows["train"], rows["dev"] = _held_back(rows["train"], task, train.name)
    rows["train"], rows["dev"] = _subset(rows["train"], task.max_train), _subset(rows["dev"], task.max_dev)
    labels = rows["dev"].labels
    if undefined := undefined_on(task.metric, labels) or kind.undefined(labels):
        few = f" (task.max_dev={task.max_dev})" if task.max_dev is not None else ""
        where = own_dev.name if own_dev is not None else f"the rows held back of {train.name}"
        raise DataError(f"{where}{few}: task.metric={task.metric} is not defined there: {undefined}")
    if kind.STRATIFIES and len(np.unique(rows["train"].labels)) == 1:
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
    classes = task.of_kind.STRATIFIES
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
    columns = task.of_kind.label_columns(source.columns, task.label_column)
    if columns is None:
        return False
    none = {"-1", "-1.0", "", "None"} - set(task.label_names or ())
    return any(str(row.get(column)) not in none for _, row in source.rows(columns) for column in columns)


def _text_columns(source: Source, task: TaskSettings) -> list[str]:
    wanted = task.text_columns
    if task.of_kind.TAUGHT and any(column in source.columns for column in wanted):  # its training rows may be texts
        wanted = [column for column in wanted if column in source.columns]
    found = chosen(source.name, source.columns, wanted, "task.text_columns", task.hub_path is not None)
    if found != wanted:
        _say_once("%s: columns %s stand for %s", source.name, ", ".join(found), ", ".join(task.text_columns))
    return found


def _normalised(source: Source, task: TaskSettings, labelled: bool) -> Rows:
    """The rows of a split in one form, each checked.

    Raises:
        DataError: names the row as the file counts it.
    """
    kind, questions = task.of_kind, is_race(source.columns)
    texts = task.text_columns if questions else _text_columns(source, task)
    known = [task.label_column] if questions else kind.label_columns(source.columns, task.label_column)
    if labelled and known is None:
        raise no_column(source.name, task.label_column, source.columns, "task.label_column")
    if task.options_column and not questions and task.options_column not in source.columns:
        raise no_column(source.name, task.options_column, source.columns, "task.options_column")
    labels = known if labelled and known else []
    wanted = [*texts, *labels, *([task.options_column] if task.options_column else [])]
    try:
        names = source.class_names(labels[0]) if len(labels) == 1 else None
        label: Any = kind.label_reader(labels, names) if labels else None
    except LabelError as error:
        raise DataError(f"{source.name}: {error}") from error

    def rows() -> Iterator[dict[str, Any]]:
        place = ""
        try:
            for at, row in questions_of(source.rows(["article", *RACE] if questions else wanted)):
                place = at
                out = kind.inputs(row, texts)
                if label is not None:
                    out["label"] = label(row, out)
                yield out
        except RowError as error:
            raise DataError(f"{source.name}: {place} {error}") from error
        if not place:
            raise DataError(f"{source.name} has no rows")

    decides = (source.digest, texts, labels, task.options_column, task.kind, task.label_names, names)
    types = kind.features(texts) | ({"label": kind.label_type} if labels else {})
    features = datasets.Features({name: _type(of) for name, of in types.items()})
    return Rows(*cache.cached(decides, features, rows, kind.at_once(cache.AT_ONCE)))


def _type(of: Any) -> Any:
    """A type as `datasets` has it: a name, a list with one for its entries, or a name for each field."""
    if isinstance(of, str):
        return datasets.Value(of)
    if isinstance(of, list | tuple):
        return datasets.List(_type(of[0]))
    return {name: _type(one) for name, one in of.items()}
