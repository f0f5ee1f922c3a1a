"""Which columns hold the texts, and what counts as a text: the same for training and for `predict`."""

from collections.abc import Sequence
from typing import Any

from ..errors import nearest
from .rows import DataError, RowError, no_column, shown

# Names that text columns go by, the first that is there before the next.
KNOWN = (["sentence1", "sentence2"], ["text", "text_pair"], ["question", "sentence"], ["sentence"], ["text"])
_NO_TEXTS = ("label", "labels", "idx", "index", "id")


UNIFORM = {1: ["sentence"], 2: ["sentence1", "sentence2"]}  # as local copies of GLUE often call them


def chosen(where: str, columns: Sequence[str], wanted: Sequence[str] | None, setting: str, uniform: bool) -> list[str]:
    """The columns with the texts.

    Args:
        wanted: as they are called; None where nobody says it.
        setting: the key that says it.
        uniform: the names are those of the hub, for which local copies may have uniform ones.

    Raises:
        DataError: they are not there, or cannot be told.
    """
    if wanted is None:
        return guessed(where, columns, setting)
    if all(column in columns for column in wanted):
        return list(wanted)
    others = [column for column in columns if column not in UNIFORM[len(wanted)]]
    # and if no column looks like what was meant
    meant = any(column in columns or nearest(column, others) for column in wanted)
    if uniform and not meant and all(column in columns for column in UNIFORM[len(wanted)]):
        return UNIFORM[len(wanted)]
    missing = next(column for column in wanted if column not in columns)
    raise no_column(where, missing, list(columns), setting)


def guessed(where: str, columns: Sequence[str], setting: str, label: str = "label") -> list[str]:
    """The columns with the texts, where nobody says which: those of known names, or the only one beside the label.

    A file of one column with another name is not taken: its first line may be a text, and no header.

    Args:
        setting: the key that says which.
        label: column of the label.

    Raises:
        DataError: it cannot be told.
    """
    found = [known for known in KNOWN if label not in known and all(name in columns for name in known)]
    found = [known for known in found if not any(set(known) < set(other) for other in found)]
    rest = [name for name in columns if name not in (label, *_NO_TEXTS)]
    if not found and len(rest) == 1 and len(columns) > 1:
        found = [rest]
    if len(found) == 1:
        return found[0]
    why = "it cannot be told which of them hold the texts"
    if found:
        why = f"{' or '.join(' and '.join(known) for known in found)} could be the texts"
    raise DataError(
        f"{where}: its columns are {', '.join(columns)}; {why}{nearest('text', columns)}; set {setting}=[NAME], or "
        f"{setting}=[FIRST,SECOND] for pairs"
    )


def text_of(value: Any, column: str) -> str:
    """A value as a text.

    Raises:
        RowError: it is missing, of another type, or no Unicode.
    """
    if value is None or value != value:  # NaN, as pandas writes what is missing into Parquet
        raise RowError(f"has no '{column}'; an empty text is allowed, a missing field is not")
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        raise RowError(f"has {shown(value)} as '{column}', which is of type {type(value).__name__}; it must be a text")
    check_unicode(value, f"'{column}'")
    return value


def check_unicode(value: Any, where: str) -> None:
    """
    Raises:
        RowError: a text, or one in a list or an object, has half of a character.
    """
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            check_unicode(one, where)
    elif isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise RowError(f"has half of a character (a lone surrogate) in {where}; write the text in valid UTF-8")
