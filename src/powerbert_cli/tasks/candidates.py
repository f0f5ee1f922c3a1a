"""Queries of a folder in BEIR's form, each with its candidates: those of candidates/SPLIT.tsv, or the best by BM25."""

import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import brings
from ..kinds.labels import number_of
from ..kinds.values import text_of
from . import beir, files
from .reading import columns_of, rows_of
from .rows import DataError, Row, no_column
from .source import Source

log = logging.getLogger(__name__)
GIVEN, PACKAGE = "candidates", "bm25s"
COLUMNS = ["query", "documents"]
LABELS = ["relevance", "missed"]
Best = Callable[[str, str], list[int]]  # (_id of a query, its text) → numbers of documents


def source(folder: Path, split: str, most: int) -> Source | None:
    """The queries of a split, each with up to so many documents.

    Columns: query; documents; relevance of each document, 0 where nobody judged it; missed, those of the relevant
    documents that are not among them. In training the relevant ones are always among them. Without qrels/train.tsv
    training has no labels, and the queries of candidates/train.tsv, or all that no other split has. Without
    qrels/dev.tsv those of the test split stand for it.

    Raises:
        DataError: a file is missing, or names what is not there.
    """
    corpus, queries = beir.file_of(folder, beir.CORPUS), beir.file_of(folder, beir.QUERIES)
    judged = beir.dev_of(folder) if split == "dev" else beir.judged_in(folder, split)
    if split == "test" and (judged is None or beir.judged_in(folder, "dev") is None):
        return None  # it is dev, or there is none
    named = folder / GIVEN / f"{split if judged is None else judged.stem}.tsv"
    given = named if named.is_file() else None
    others = [] if judged or given else [path for one in ("dev", "test") if (path := beir.judged_in(folder, one))]
    if given is None and importlib.util.find_spec(PACKAGE) is None:
        raise DataError(
            f"task.data_dir={folder}: has no {GIVEN}/{named.name}, and without it candidates are searched by the "
            f"package {PACKAGE}, which is missing; install it ({brings('ranking')}), or give that file"
        )
    found = f"{most} of {given.name}" if given else f"{most} by {PACKAGE} {importlib.metadata.version(PACKAGE)}"
    parts = [path for path in (corpus, queries, judged, given, *others) if path]
    reads = _Reader(corpus, queries, judged, given, others, split == "train", most)
    return Source(
        str(judged or given or queries),
        f"{files.digest(parts)} candidates {found}",
        [*COLUMNS, *(LABELS if judged else [])],
        lambda column: None,
        lambda columns: reads.rows(),
    )


class _Reader:
    """
    Args:
        judged: the judgements of the split, if it has any. given: its candidates, if they are given. others: judgements
            of other splits, whose queries are left out. trains: relevant documents are candidates. most: candidates.
    """

    def __init__(
        self,
        corpus: Path,
        queries: Path,
        judged: Path | None,
        given: Path | None,
        others: list[Path],
        trains: bool,
        most: int,
    ) -> None:
        self.corpus, self.queries, self.judged, self.given, self.others = corpus, queries, judged, given, others
        self.trains, self.most = trains, most

    def rows(self) -> Iterator[tuple[str, Row]]:
        known, numbers = beir.numbers(self.queries), beir.numbers(self.corpus)
        relevant = beir.judgements(self.judged, known, numbers) if self.judged else None
        listed = _listed(self.given, known, numbers) if self.given else None
        left_out = {name for path in self.others for name in beir.judgements(path, known, numbers)}
        documents = [_text(self.corpus, place, row) for place, row in beir.documents_of(self.corpus)]
        best = _searcher(documents, self.most) if listed is None else self._given(listed)
        empty = True
        for place, row in rows_of(self.queries, "jsonl", ["_id", "text"]):
            name, where = str(row["_id"]), f"{self.queries.name} {place}"
            wanted = relevant if relevant is not None else listed
            if name in left_out if wanted is None else name not in wanted:
                continue
            own = {} if relevant is None else relevant[name]
            found = best(name, _text(self.queries, place, row))
            missed = [number for number, value in own.items() if value > 0 and number not in set(found)]
            if self.trains:
                found, missed = [*found, *missed], []
            if not found:
                raise DataError(f"{self.given}: has no candidate for query {name!r} ({where}); give it some")
            labels = [[own.get(number, 0.0) for number in found], [own[number] for number in missed]]
            texts = [documents[number] for number in found]
            empty = False
            yield where, {"query": row.get("text"), "documents": texts, **dict(zip(LABELS, labels, strict=True))}
        if empty and self.trains:
            raise DataError(
                f"{self.queries}: all its queries are of dev or test, and none is left to train on; give "
                f"{beir.JUDGED}/train.tsv, or without judgements {GIVEN}/train.tsv or further queries"
            )

    def _given(self, listed: dict[str, list[int]]) -> Best:
        return lambda name, text: listed.get(name, [])[: self.most]


def _text(file: Path, place: str, row: Row) -> str:
    try:
        return text_of(row.get("text"), "text")
    except ValueError as error:
        raise DataError(f"{file}: {place} {error}") from error


def _listed(path: Path, queries: dict[str, int], documents: dict[str, int]) -> dict[str, list[int]]:
    """_id of a query → numbers of its candidates, in the file's order, or by their scores if it has any.

    Raises:
        DataError: it names what is not there, or a score is no number.
    """
    columns = columns_of(path, "tsv")
    for column in ("query-id", "corpus-id"):
        if column not in columns:
            raise no_column(path, column, columns, "the first line to query-id, corpus-id and, if you like, score")
    found: dict[str, dict[int, float]] = {}
    for place, row in rows_of(path, "tsv", columns):
        query, document, score = row["query-id"], row["corpus-id"], row.get("score", "0")
        beir.check_known(f"{path}: {place}", query, document, queries, documents)
        value = number_of(score)
        if value is None:
            raise DataError(f"{path}: {place} has score {score!r}; give a number, or no column 'score'")
        found.setdefault(str(query), {}).setdefault(documents[str(document)], value)
    return {query: sorted(own, key=lambda number: -own[number]) for query, own in found.items()}


def _searcher(documents: list[str], most: int) -> Best:
    """The best documents by BM25 over words in lower case, whatever the language; of equal ones the earlier."""
    import bm25s

    log.info("ranking: BM25 over %d documents finds the candidates", len(documents))
    how: dict[str, Any] = {"token_pattern": r"(?u)\b\w+\b", "stopwords": [], "return_ids": False}
    words: Any = partial(bm25s.tokenize, show_progress=False, **how)
    index, count, of_documents = bm25s.BM25(), min(most, len(documents)), words(documents)
    worded = any(of_documents)
    if worded:
        index.index(of_documents, show_progress=False)

    def best(name: str, text: str) -> list[int]:
        (query,) = words([text])
        scores = np.asarray(index.get_scores(query) if query and worded else np.zeros(len(documents)))
        least = np.partition(scores, -count)[-count]
        above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        found = np.concatenate([above, equal[: count - len(above)]])
        return [int(number) for number in found[np.argsort(-scores[found], kind="stable")]]

    return best
