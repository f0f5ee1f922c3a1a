"""The right answers of a question as people's files have them: texts, and where they stand in the context."""

import json
from typing import Any

from .labels import LabelError, number_of
from .values import shown, text_of

_FORM = 'it must be {"text": […], "answer_start": […]} or a list of {"text": …, "answer_start": …}'
_AROUND = 40  # characters of what a message shows


def answers_in(value: Any, context: str, column: str) -> dict[str, list[Any]]:
    """`text` and `answer_start` of each answer; both are empty where the context has none.

    Args:
        value: of the column; also as a text of JSON, as csv has it.

    Raises:
        LabelError: it has another form, or an answer does not stand where it should.
    """
    texts, starts = _both(value, column)
    if len(texts) != len(starts):
        raise LabelError(f"has {len(texts)} texts and {len(starts)} of answer_start in '{column}'; give each text one")
    pairs = [
        (_text(text, column), _checked(text, start, context, column)) for text, start in zip(texts, starts, strict=True)
    ]
    return {"text": [text for text, _ in pairs], "answer_start": [start for _, start in pairs]}


def _both(value: Any, column: str) -> tuple[list[Any], list[Any]]:
    if value is None or value != value:
        raise LabelError(f"has no '{column}'; of a question without an answer it has empty lists")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise LabelError(f"has {shown(value)} as '{column}'; {_FORM}, as JSON") from None
    if isinstance(value, dict):
        lists = value.get("text"), value.get("answer_start")
        if all(isinstance(one, list) for one in lists):
            return lists[0], lists[1]  # type: ignore[return-value]
    elif isinstance(value, list) and all(
        isinstance(one, dict) and {"text", "answer_start"} <= set(one) for one in value
    ):
        return [one["text"] for one in value], [one["answer_start"] for one in value]
    raise LabelError(f"has {shown(value)} as '{column}'; {_FORM}")


def _text(value: Any, column: str) -> str:
    text = text_of(value, f"{column}.text")
    if not text.strip():
        raise LabelError(f"has an empty text in '{column}'; of a question without an answer it has empty lists")
    return text


def _checked(text: Any, value: Any, context: str, column: str) -> int:
    start = number_of(value)
    if start is None or not start.is_integer() or start < 0:
        raise LabelError(f"has answer_start {shown(value)} in '{column}'; it must be a whole number from 0")
    text, place = str(text), int(start)
    there = context[place : place + len(text)]
    if there != text:
        found = context.find(text)
        other = "the context does not have it" if found < 0 else f"the first such text stands at {found}"
        raise LabelError(
            f"has the answer {_short(text)} at {place} in '{column}', where the context has {_short(there)}; "
            f"answer_start counts characters from 0, and {other}"
        )
    return place


def _short(text: str) -> str:
    return repr(text if len(text) <= _AROUND else f"{text[:_AROUND]}…")
