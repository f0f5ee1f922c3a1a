"""Folders in BEIR's form: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..kinds.labels import number_of
from ..settings.formats import PACKED
from . import files
from .reading import rows_of
from .rows import DataError, Row
from .source import Source

log = logging.getLogger(__name__)
CORPUS, QUERIES, JUDGED = "corpus", "queries", "qrels"
COLUMNS = ["text", "query", "judged", "label"]


def is_beir(folder: Path) -> bool:
    return any((folder / f"{CORPUS}.jsonl{ending}").is_file() for ending in ("", *PACKED))


def source(folder: Path, split: str) -> Source | None:
    """Of training the documents, without judgements; of other splits its queries, each with them, and all documents.

    Without qrels/dev.tsv those of the test split stand for it.

    Columns: text; query, a query's number from 0, -1 of a document; judged, numbers of documents; label, how relevant
    each of these is.

    Raises:
        DataError: a file is missing, or a judgement is of what is not there.
    """
    corpus, queries = file_of(folder, CORPUS), file_of(folder, QUERIES)
    if split == "train":
        return _made(corpus, [corpus], partial(documents_of, corpus))
    path = dev_of(folder)
    if split == "test":
        return None  # it is dev, or there is none
    return _made(path, [corpus, queries, path], partial(_searched, corpus, queries, path))


def _made(name: Path, parts: list[Path], rows: partial[Iterator[tuple[str, Row]]]) -> Source:
    return Source(str(name), f"{files.digest(parts)} beir", COLUMNS, lambda column: None, lambda columns: rows())


def file_of(folder: Path, stem: str) -> Path:
    for ending in ("", *PACKED):
        if (path := folder / f"{stem}.jsonl{ending}").is_file():
            return path
    raise DataError(f"task.data_dir={folder}: has no {stem}.jsonl; BEIR's form is corpus.jsonl, queries.jsonl, qrels/")


def judged_in(folder: Path, split: str) -> Path | None:
    found = [folder / JUDGED / f"{stem}.tsv" for stem in files.SPLIT_FILES[split]]
    return next((path for path in found if path.is_file()), None)


def dev_of(folder: Path) -> Path:
    """The judgements of dev, for which those of the test split stand where there are none.

    Raises:
        DataError: there are neither.
    """
    judged = {own: path for own in ("dev", "test") if (path := judged_in(folder, own)) is not None}
    if not judged:
        raise DataError(f"task.data_dir={folder}: has no {JUDGED}/dev.tsv or {JUDGED}/test.tsv; give one")
    path = judged.get("dev") or judged["test"]
    if "dev" not in judged:
        log.info("task.data_dir=%s: %s stands for dev, which it has not", folder, path.relative_to(folder))
    return path


def documents_of(corpus: Path) -> Iterator[tuple[str, Row]]:
    for place, row in rows_of(corpus, "jsonl", ["_id", "title", "text"]):
        title, text = row.get("title"), row.get("text")
        whole = f"{title} {text}".strip() if isinstance(title, str) and isinstance(text, str) else text
        yield place, {"text": whole, "query": -1, "judged": [], "label": []}


def _searched(corpus: Path, queries: Path, judged: Path) -> Iterator[tuple[str, Row]]:
    relevant = judgements(judged, numbers(queries), numbers(corpus))
    number = 0
    for place, row in rows_of(queries, "jsonl", ["_id", "text"]):
        own = relevant.get(str(row["_id"]))
        if own is not None:  # of this split
            yield f"{queries.name} {place}", {
                "text": row.get("text"), "query": number, "judged": list(own), "label": list(own.values()),
            }  # fmt: skip
            number += 1
    for place, row in documents_of(corpus):
        yield f"{corpus.name} {place}", row


def judgements(judged: Path, queries: dict[str, int], documents: dict[str, int]) -> dict[str, dict[int, float]]:
    """Of the queries of a split: _id → number of a document → how relevant it is.

    Raises:
        DataError: a score is no number, or a query or document is not there.
    """
    relevant: dict[str, dict[int, float]] = {}
    for place, row in rows_of(judged, "tsv", ["query-id", "corpus-id", "score"]):
        if missing := [name for name in ("query-id", "corpus-id", "score") if name not in row]:
            raise DataError(
                f"{judged}: has no column {', '.join(missing)}; its first line has to name the columns query-id, "
                "corpus-id and score, with tabs between them"
            )
        query, document, score = (row.get(name) for name in ("query-id", "corpus-id", "score"))
        if score is None or (value := number_of(score)) is None:
            raise DataError(
                f"{judged}: {place} has score {score!r}; the columns are query-id, corpus-id and score, a number"
            )
        check_known(f"{judged}: {place}", query, document, queries, documents)
        relevant.setdefault(str(query), {})[documents[str(document)]] = value
    return relevant


def check_known(where: str, query: Any, document: Any, queries: dict[str, int], documents: dict[str, int]) -> None:
    """
    Raises:
        DataError: no query, or no document, has that _id.
    """
    for name, file, known in ((query, QUERIES, queries), (document, CORPUS, documents)):
        if str(name) not in known:
            raise DataError(f"{where} names {name!r}, which {file}.jsonl has not")


def numbers(path: Path) -> dict[str, int]:
    """_id → its number, from 0.

    Raises:
        DataError: it is missing, or stands there twice.
    """
    found: dict[str, int] = {}
    for place, row in rows_of(path, "jsonl", ["_id"]):
        name = row.get("_id")
        if name is None or str(name) in found:
            raise DataError(f"{path}: {place} has _id {name!r}, which is missing or stands there twice")
        found[str(name)] = len(found)
    return found
