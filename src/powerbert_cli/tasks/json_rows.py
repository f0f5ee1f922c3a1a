"""Rows of JSON files: an object a line, or lists of objects as people have them."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from .rows import DataError, Lines, Read, Table
from .squad_rows import columns_of, is_squad, questions_of

_BY_COLUMNS = (
    "it is one object with a column in each key, as pandas' df.to_json() writes it; write one object a row: "
    "df.to_json(path, orient='records', lines=True)"
)


def json_table(name: str, lines: Lines, kind: str) -> Table:
    """One object a line, a list of objects, or an object with such a list under one of its keys; SQuAD's own form too.

    Args:
        kind: json or jsonl; of the second an object on a line is a row, also if it is the only one.
    """
    while (first := lines.peek()) is not None and not first.strip():
        next(lines)
    if first is None:
        return Table([], lambda columns: iter(()))
    next(lines)
    at = lines.number
    if kind == "jsonl" and _is_object(first):  # without a look at what comes: that may take a while
        return _json_lines(name, first, at, lines)
    while (second := lines.peek()) is not None and not second.strip():
        next(lines)
    if second is not None and _is_object(first):
        return _json_lines(name, first, at, lines)
    try:
        content = _loaded(first + lines.rest())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: line 1 is no JSON object: {error}") from error
    if wrong := lines.noted():
        raise DataError(f"{name}: {wrong}")
    rows = _listed(name, content)
    if is_squad(rows):
        return Table(columns_of(rows), lambda columns: questions_of(rows))

    def reads(columns: list[str]) -> Iterator[Read]:
        for number, row in enumerate(rows, 1):
            wrong = None if isinstance(row, dict) else f"is no JSON object: it is {type(row).__name__}"
            yield Read(f"row {number}", {} if wrong else row, wrong)

    return Table(list(rows[0]) if rows and isinstance(rows[0], dict) else [], reads)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"its key '{name}' stands there {names.count(name)} times")
    return dict(pairs)


def _loaded(text: str) -> Any:
    """JSON, in which no object has a key twice: which of the two is meant?"""
    return json.loads(text, object_pairs_hook=_once)


def _is_object(line: str) -> bool:
    """Whether a line is an object by itself."""
    try:
        return isinstance(_loaded(line), dict)
    except (ValueError, RecursionError):
        return False


def _json_lines(name: str, first: str, at: int, lines: Lines) -> Table:
    def reads(columns: list[str]) -> Iterator[Read]:
        number = 0
        for line, text in itertools.chain([(at, first)], ((lines.number, line) for line in lines)):
            if not text.strip():
                continue
            number += 1
            place = f"row {number} (line {line})"
            try:
                row = _loaded(text)
            except (ValueError, RecursionError) as error:
                yield Read(place, {}, lines.noted() or f"is no JSON object: {error}")
                continue
            wrong = None if isinstance(row, dict) else f"is no JSON object: it is {type(row).__name__}"
            wrong = lines.noted() or wrong
            yield Read(place, {} if wrong else row, wrong)

    return Table(list(_loaded(first)), reads)


def _listed(name: str, content: Any) -> list[Any]:
    """The list of rows in a JSON file that is one value."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise DataError(f"{name}: line 1 is no JSON object: it is {type(content).__name__}")
    lists = {key: value for key, value in content.items() if isinstance(value, list) and value}
    of_rows = [key for key, value in lists.items() if all(isinstance(row, dict) for row in value)]
    if len(of_rows) == 1:
        return list(content[of_rows[0]])
    if of_rows:
        raise DataError(f"{name}: has lists of objects under {', '.join(of_rows)}; keep one in a file")
    if content and all(isinstance(value, dict | list) for value in content.values()):
        raise DataError(f"{name}: {_BY_COLUMNS}")
    return [content]
