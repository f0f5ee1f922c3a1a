"""Text columns and class names that nobody gave: read from the training rows, or from the model."""

import logging
from typing import Any
from unicodedata import normalize

from ..kinds import KINDS
from ..kinds.labels import number_of
from ..kinds.values import shown
from ..models.classes import named_classes
from ..models.loading import host_config
from ..models.weights import ModelError
from ..settings import SettingsError, TaskSettings
from ..tasks.columns import guessed
from ..tasks.origins import finder
from ..tasks.rows import DataError, no_column
from ..tasks.source import Source

log = logging.getLogger(__name__)
_MOST = 1000  # classes


def settle_task(cfg: Any, settings: Any, names: list[str]) -> None:
    """Puts what the rows say in place of auto into the config: task.text_columns, task.label_names.

    Raises:
        DataError: the rows do not say it.
    """
    task = settings.task
    source = finder(task)("train")
    if source is None:
        raise DataError(f"task={task.name} has no training rows")
    if "task.text_columns" in names:
        cfg.task.text_columns = guessed(
            source.name,
            source.columns,
            "task.text_columns",
            task.label_column,
            KINDS[task.kind].KNOWN,
            KINDS[task.kind].ARE,
        )
        log.info("task.text_columns=auto: %s", ", ".join(cfg.task.text_columns))
    if "task.label_names" in names:
        cfg.task.label_names = _label_names(settings, source)


def _label_names(settings: Any, source: Source) -> list[str] | None:
    task = settings.task
    kind = KINDS[task.kind]
    if not kind.NAMED:
        return None
    if not kind.NAMES_FROM_ROWS:
        raise SettingsError(f"task.label_names=auto is not for task.kind={task.kind}; name them")
    found = _in_rows(task, source)
    own = _of_model(settings)
    if own is not None and len(own) == len(found) and _are_the_same(found, own):
        log.info("task.label_names=auto: %s, as the model has them", ", ".join(own))
        return own
    log.info(
        "task.label_names=auto: %s, in this order; task.label_names=[…] gives another",
        ", ".join(found),
    )
    return found


def _of_model(settings: Any) -> list[str] | None:
    """What a classifier to start from calls its classes; None if it only counts them."""
    if not settings.start_model.name_or_path:
        return None
    try:
        return named_classes(host_config(settings.start_model))
    except ModelError:
        return None  # is reported where the model is checked


def _are_the_same(found: list[str], own: list[str]) -> bool:
    """Whether labels in rows are a model's classes: by name, or by number."""
    return sorted(found) == sorted(own) or found == [str(c) for c in range(len(own))]


def _in_rows(task: TaskSettings, source: Source) -> list[str]:
    """The classes of the training rows: as the file names them, else numbers in order, else texts in order."""
    if task.label_column not in source.columns:
        raise no_column(source.name, task.label_column, source.columns, "task.label_column")
    if (named := source.class_names(task.label_column)) is not None:
        return named
    found: dict[str, None] = {}
    kind, count = KINDS[task.kind], 0
    for _, row in source.rows([task.label_column]):
        for value in kind.labels_in(row.get(task.label_column)):
            count += 1
            if value is not None and value == value and value != "":  # a missing label is named by its row later
                found[_name_of(value)] = None
        if len(found) > _MOST:
            break
    _check_classes(list(found), count, source, task)
    if odd := kind.odd(list(found)):
        raise DataError(f"{source.name}: column '{task.label_column}': {odd}")
    numbers = [number_of(name) for name in found]
    if all(number is not None for number in numbers):
        return sorted(found, key=lambda name: (number_of(name) or 0.0, name))
    return kind.ordered(list(found))


def _name_of(value: Any) -> str:
    """A label as a name: 1.0, as pandas writes whole numbers beside missing ones, is 1."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _check_classes(found: list[str], labels: int, source: Source, task: TaskSettings) -> None:
    """
    Raises:
        DataError: they are no classes.
    """
    where = f"{source.name}: column '{task.label_column}'"
    if len(found) < 2:
        only = f"one label only, {shown(found[0])}" if found else "no label"
        raise DataError(f"{where} has {only}; give rows of two classes, or name all classes in task.label_names")
    numbers = [number_of(name) for name in found]
    if None not in numbers and any(not float(number or 0).is_integer() for number in numbers):
        raise DataError(
            f"{where} has numbers such as {found[0]}; for a value to predict set task.kind=regression "
            "task.metric=spearman, for classes name them in task.label_names"
        )
    _check_apart(found, where)
    if len(found) > _MOST or (labels >= 20 and len(found) > labels / 2):
        raise DataError(
            f"{where} has {len(found)} different values among {labels}; if they are classes, name them in "
            "task.label_names; else set task.label_column"
        )


def _check_apart(found: list[str], where: str) -> None:
    """
    Raises:
        DataError: two labels may be one class: the same number, or the same but for spaces and the form of Unicode.
    """
    same: dict[Any, str] = {}
    for name in found:
        number = number_of(name)
        value = normalize("NFC", name).strip() if number is None else number
        if same.setdefault(value, name) != name:
            raise DataError(
                f"{where} has {shown(same[value])} and {shown(name)}, which may be one class; write it in one way, or "
                "name the classes in task.label_names"
            )
