"""The order of documents for a query: one logit for each pair of the two, as a CrossEncoder's."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from .kind import Array, Kind, Row, cut, objects
from .labels import LabelError, number_of
from .values import RowError, shown, text_of
from .windows import rows_of

RELEVANCE, MISSED = "relevance", "missed"


class Ranking(Kind):
    """A row is a query with its candidates, each of which becomes an input with the query.

    The logit learns from relevances between 0 and 1 by binary cross-entropy: below 0 they count as 0, and where the
    largest of a query is above 1 its relevances are divided by that.
    """

    NAME = "ranking"
    ABOUT = "the order of documents for a query"
    PIPELINE = "text-ranking"
    LIBRARY = "sentence-transformers"
    PROBLEM = "multi_label_classification"  # of one label: the loss that CrossEncoder trains by
    LIKE = ("regression",)
    METRICS = ("ndcg_10", "mrr_10", "map")
    TEXTS = (2,)
    KNOWN = (["query", "documents"],)
    NAMED = False
    LABEL: ClassVar[Any] = ("float32",)
    MAY_BE_TAUGHT = True
    CANDIDATES = True
    INPUTS = 20

    @classmethod
    def fits(cls, head: str, problem: str | None, outputs: int) -> bool:
        return head == cls.HEAD and outputs == 1 and problem in (None, cls.PROBLEM, *cls.LIKE)

    @property
    def outputs(self) -> list[str]:
        return [RELEVANCE]

    # rows

    def label_columns(self, columns: Sequence[str], label_column: str) -> list[str] | None:
        """The one that is named, else `relevance`; and `missed`, if that is there."""
        own = next((name for name in (label_column, RELEVANCE) if name in columns), None)
        return None if own is None else [own, *([MISSED] if MISSED in columns else [])]

    def features(self, texts: Sequence[str]) -> Row:
        return {"query": "string", "documents": ["string"]}

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        query, column = texts
        found = row.get(column)
        if found is None:
            raise RowError(f"has no '{column}'; it must be a list of texts")
        if not isinstance(found, list):
            raise RowError(f"has {shown(found)} as '{column}'; it must be a list of texts")
        if not found:
            raise RowError(f"has an empty list as '{column}'; give at least one document")
        documents = [text_of(one, f"{column}[{place}]") for place, one in enumerate(found)]
        return {"query": text_of(row.get(query), query), "documents": documents}

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        """Relevances of the candidates, and after them those of documents that are not among them."""
        own, *others = columns

        def read(row: Row, inputs: Row) -> list[float]:
            found, count = _numbers(row.get(own), own), len(inputs["documents"])
            if len(found) != count:
                raise LabelError(f"has {count} documents and {len(found)} numbers in '{own}'; give each document one")
            missed = [_numbers(row.get(name), name) for name in others if row.get(name) is not None]
            return [*found, *(value for values in missed for value in values)]

        return read

    def undefined(self, labels: Array) -> str | None:
        if not any(value > 0 for label in labels for value in label):
            return f"none of {len(labels)} queries has a relevant document (a relevance above 0); give some that have"
        return None

    def counts(self, labels: Array) -> dict[str, Any]:
        relevant = sum(bool(value > 0) for one in labels for value in one)
        return {"relevances": sum(map(len, labels)), "relevant": relevant}

    def texts(self, inputs: Row) -> tuple[str, ...] | None:
        return None

    # word-pieces

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """A pair for each candidate, one after the other; of the two the longer text is cut first, as a CrossEncoder
        does: a query of at most half of ℓ stays whole."""
        pairs = [(row, text) for row, texts in enumerate(batch["documents"]) for text in texts]
        queries, documents = [batch["query"][row] for row, _ in pairs], [text for _, text in pairs]
        found = dict(processor(queries, documents, **cut(seq_len)))
        found["length"] = [len(ids) for ids in found["input_ids"]]
        found["row"] = [row for row, _ in pairs]
        if "label" in batch:
            judged = list(zip(batch["label"], map(len, batch["documents"]), strict=True))
            found["labels"] = [[value] for label, count in judged for value in _wanted(label)[:count]]
            found["relevance"] = [one for label, count in judged for one in (label, *[[]] * (count - 1))]  # once each
        else:
            found["labels"] = [[0.0]] * len(pairs)  # a teacher says what is right
        return found

    # answers

    def labels(self, tokens: Any) -> Array:
        """(candidate, relevance) of each query's documents; numbers beyond the candidates are of others."""
        relevances = tokens["relevance"][:]
        return objects(tuple(enumerate(relevances[own[0]])) for own in rows_of(tokens["row"][:]))

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        """The candidates of each query, the best first."""
        scores = np.asarray(logits).reshape(-1)
        return objects(tuple(map(int, _best_first(scores[own]))) for own in rows_of(tokens["row"][:]))

    def differ(self, predictions: Array, others: Array) -> float | None:
        """The share of the queries with another document at the top."""
        return float(np.mean([one[0] != other[0] for one, other in zip(predictions, others, strict=True)]))

    def answer_types(self) -> Row:
        return {"ranking": [{"document": "int64", "score": "float64", "logit": "float64"}]}

    def answers(self, logits: Sequence[Array], tokens: Sequence[Row], inputs: Sequence[Row]) -> list[Row]:
        """The documents of each row by their places from 0, the best first, each with its logit and, as the score,
        that logit's sigmoid."""
        found = np.array([float(one[0]) for one in logits])
        return [
            {"ranking": [_answer(place, scores[place]) for place in _best_first(scores)]}
            for scores in (found[own] for own in rows_of(token["row"] for token in tokens))
        ]

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        """The places of each query's candidates, with spaces between."""
        return (" ".join(map(str, order)) for order in self.predictions(logits, tokens))


def _numbers(values: Any, column: str) -> list[float]:
    """
    Raises:
        LabelError
    """
    if not isinstance(values, list):
        raise LabelError(f"has {shown(values)} as '{column}'; it must be a list of numbers, one for each document")
    found = [number_of(value) for value in values]
    wrong = next((place for place, value in enumerate(found) if value is None), None)
    if wrong is not None:
        raise LabelError(
            f"has {shown(values[wrong])} in '{column}', number {wrong + 1}; a relevance must be a finite number, 0 for "
            "a document that is not relevant"
        )
    return [float(value or 0.0) for value in found]


def _wanted(relevances: Sequence[float]) -> list[float]:
    """Between 0 and 1."""
    most = max(1.0, *relevances)
    return [max(0.0, value) / most for value in relevances]


def _best_first(scores: Array) -> Array:
    """Places in the order of their scores; of equal ones the earlier first."""
    return np.argsort(-scores, kind="stable")


def _answer(place: int, logit: float) -> Row:
    score = float(np.exp(-np.logaddexp(0.0, -logit)))
    return {"document": int(place), "score": score, "logit": float(logit)}
