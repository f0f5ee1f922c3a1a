"""Values in people's rows, and how a message shows one."""

from typing import Any


class RowError(ValueError):
    """A value that breaks a rule; the message follows on the row's place."""


def shown(value: Any) -> str:
    """A value for a message: at most a line of it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


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
