"""Questions of SQuAD's own JSON files: articles of paragraphs, each a context with its questions."""

from collections.abc import Iterator
from typing import Any

from ..kinds.values import shown
from .rows import Read

_COLUMNS = ("id", "title", "question", "context", "answers")


def is_squad(rows: list[Any]) -> bool:
    """Whether a list of objects is one of SQuAD's articles."""
    paragraphs = (row.get("paragraphs") for row in rows if isinstance(row, dict))
    first = (one[0] for one in paragraphs if isinstance(one, list) and one)
    return any(isinstance(one, dict) and "qas" in one for one in first)


def columns_of(articles: list[Any]) -> list[str]:
    """Columns of the questions; without answers in files that have none."""
    known = any(read.wrong or "answers" in read.row for read in questions_of(articles))
    return [column for column in _COLUMNS if known or column != "answers"]


def questions_of(articles: list[Any]) -> Iterator[Read]:
    """A row for each question, also for what cannot be read as one."""
    for a, article in enumerate(articles, 1):
        paragraphs, wrong = _listed(article, "paragraphs")
        if wrong:
            yield Read(f"article {a}", {}, wrong)
        for p, paragraph in enumerate(paragraphs, 1):
            questions, wrong = _listed(paragraph, "qas")
            if wrong:
                yield Read(f"article {a}, paragraph {p}", {}, wrong)
            for q, question in enumerate(questions, 1):
                yield _row(f"article {a}, paragraph {p}, question {q}", article, paragraph, question)


def _row(place: str, article: Any, paragraph: Any, question: Any) -> Read:
    if not isinstance(question, dict):
        return Read(place, {}, f"is no JSON object: it is {type(question).__name__}")
    row = {
        "id": question.get("id"),
        "title": article.get("title"),
        "question": question.get("question"),
        "context": paragraph.get("context"),
    }
    if "answers" in question:
        row["answers"] = question["answers"]
        if question.get("is_impossible") is True and question["answers"]:
            return Read(place, {}, f"is marked is_impossible, and has answers {shown(question['answers'])}")
    return Read(place, row)


def _listed(value: Any, name: str) -> tuple[list[Any], str | None]:
    """A list below a key of an object, and what is wrong with it."""
    found = value.get(name) if isinstance(value, dict) else None
    return (found, None) if isinstance(found, list) else ([], f"has no list '{name}'")
