"""Rows of CoNLL files: a word a line with its tag last, and a blank line after each sentence."""

import itertools
import re
from collections.abc import Iterator

from .rows import DataError, Lines, Read, Table

_COMMENT = re.compile(r"# \S+ = ")
_DOCUMENT = "-DOCSTART-"  # between documents, in place of a sentence


def conll_table(name: str, lines: Lines) -> Table:
    """Sentences with columns tokens, tags and, of files that have more, column_2 … between; fields end at white space.

    Comments are left out: `# id = …`, and lines that begin with a number sign and have other fields than words.
    """
    ahead: list[str] = []
    fields = None
    for line in lines:
        ahead.append(line)
        if not _is_blank(line) and not _COMMENT.match(line):
            fields = len(line.split())
            break
    if fields is None:
        raise DataError(f"{name} is empty; it needs a word a line, with its tag last")
    if fields < 2:
        raise DataError(f"{name}: line {len(ahead)} has one field; give a word and its tag, with a space between")
    columns = ["tokens", *(f"column_{number}" for number in range(2, fields)), "tags"]

    def reads(wanted: list[str]) -> Iterator[Read]:
        number, begun, at, words, wrong = 0, 0, 0, list[list[str]](), None
        for at, line in enumerate(itertools.chain(ahead, lines), 1):
            if _is_blank(line):
                if words or wrong:
                    number += 1
                    yield _row(number, begun, at - 1, columns, words, wrong)
                words, wrong = [], None
                continue
            found = line.split()
            if _COMMENT.match(line) or (line.startswith("# ") and len(found) != fields):
                continue
            begun = begun if words or wrong else at
            wrong = wrong or lines.noted()
            if len(found) == fields:
                words.append(found)
            else:
                wrong = wrong or f"has {len(found)} fields in line {at}, the first word has {fields}"
        if words or wrong:
            yield _row(number + 1, begun, at, columns, words, wrong)

    return Table(columns, reads)


def _row(number: int, first: int, last: int, columns: list[str], words: list[list[str]], wrong: str | None) -> Read:
    place = f"row {number} (lines {first} to {last})" if last > first else f"row {number} (line {first})"
    values = dict(zip(columns, map(list, zip(*words, strict=True)), strict=True)) if words and not wrong else {}
    return Read(place, values, wrong)


def _is_blank(line: str) -> bool:
    return not line.strip() or line.startswith(_DOCUMENT)
