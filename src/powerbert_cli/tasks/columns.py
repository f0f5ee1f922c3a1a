"""Which columns hold the texts, and what counts as a text: the same for training and for `predict`."""

from collections.abc import Sequence

from ..errors import alike, nearest
from ..kinds import Kind
from .rows import DataError, no_column

KNOWN, TEXTS = Kind.KNOWN, Kind.ARE
_NO_TEXTS = ("label", "labels", "idx", "index", "id")


UNIFORM = {1: ["sentence"], 2: ["sentence1", "sentence2"]}  # as local copies of GLUE often call them


def chosen(
    where: str,
    columns: Sequence[str],
    wanted: Sequence[str] | None,
    setting: str,
    uniform: bool,
    names: Sequence[list[str]] = KNOWN,
    are: str = TEXTS,
) -> list[str]:
    """The columns with the texts.

    Args:
        wanted: as they are called; None where nobody says it.
        setting: the key that says it.
        uniform: the names are those of the hub, for which local copies may have uniform ones.
        names: that text columns go by. are: what they hold, for messages.

    Raises:
        DataError: they are not there, or cannot be told.
    """
    if wanted is None:
        return guessed(where, columns, setting, names=names, are=are)
    if all(column in columns for column in wanted):
        return list(wanted)
    others = [column for column in columns if column not in UNIFORM[len(wanted)]]
    # and if no column looks like what was meant
    meant = any(column in columns or alike(column, others) for column in wanted)
    if uniform and not meant and all(column in columns for column in UNIFORM[len(wanted)]):
        return UNIFORM[len(wanted)]
    missing = next(column for column in wanted if column not in columns)
    raise no_column(where, missing, list(columns), setting)


def guessed(
    where: str,
    columns: Sequence[str],
    setting: str,
    label: str = "label",
    names: Sequence[list[str]] = KNOWN,
    are: str = TEXTS,
) -> list[str]:
    """The columns with the texts, where nobody says which: those of known names, or the only one beside the label.

    A file of one column with another name is not taken: its first line may be a text, and no header.

    Args:
        setting: the key that says which.
        label: column of the label. names: that text columns go by. are: what they hold, for messages.

    Raises:
        DataError: it cannot be told.
    """
    found = [known for known in names if label not in known and all(name in columns for name in known)]
    found = [known for known in found if not any(set(known) < set(other) for other in found)]
    rest = [name for name in columns if name not in (label, *_NO_TEXTS)]
    if not found and len(rest) == 1 and len(columns) > 1:
        found = [rest]
    if len(found) == 1:
        return found[0]
    why = f"it cannot be told which of them hold the {are}"
    if found:
        why = f"{' or '.join(' and '.join(known) for known in found)} could be the {are}"
    of_texts = are == TEXTS
    pairs = f", or {setting}=[FIRST,SECOND] for pairs" if of_texts else ""
    close = nearest("text" if of_texts else names[0][0], columns)
    raise DataError(f"{where}: its columns are {', '.join(columns)}; {why}{close}; set {setting}=[NAME]{pairs}")
