"""A vector for each text: how alike two are is the cosine of theirs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from .kind import Array, Kind, Row, cut, objects
from .labels import value_of

RANKED = ("ndcg_10", "mrr_10", "map")
_NEAR = 10
_DEPTH = 100  # documents of each query's ranking


class Embedding(Kind):
    """Rows are texts, or pairs of texts with a number that says how alike they are.

    Or, for `ndcg_10` and the like, queries and documents, which are ranked by cosine for each query.
    A model learns from the vectors of the one that it starts from, so that training rows need no number.
    """

    NAME = "embedding"
    ABOUT = "a vector"
    HEAD = "ForEmbedding"
    PIPELINE = "feature-extraction"
    LIBRARY = "sentence-transformers"
    METRICS = ("spearman", "pearson", *RANKED)
    NAMED = False
    VALUES = True
    TAUGHT = True
    LABEL: ClassVar[Any] = "float32"

    @property
    def outputs(self) -> list[str]:
        return ["embedding"]

    @property
    def ranks(self) -> bool:
        """Whether documents are ranked for queries; else pairs have a number each."""
        return self.metric in RANKED

    @property
    def of_authors_code(self) -> bool:
        return not self.ranks

    def features(self, texts: Sequence[str]) -> Row:
        own = super().features(texts)
        return own | {"query": "int64", "judged": ["int64"]} if self.ranks else own

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        own = super().inputs(row, texts)
        return own | {"query": row.get("query", -1), "judged": row.get("judged", [])} if self.ranks else own

    @property
    def label_type(self) -> Any:
        return (self.LABEL,) if self.ranks else self.LABEL

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        (column,) = columns
        if self.ranks:
            return lambda row, inputs: row.get(column)
        return lambda row, inputs: value_of(row.get(column))

    def counts(self, labels: Array) -> dict[str, Any]:
        if self.ranks:
            return {"queries": sum(len(one) > 0 for one in labels), "judgements": sum(map(len, labels))}
        return {"least": float(labels.min()), "mean": float(labels.mean()), "most": float(labels.max())}

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """Each text by itself: a pair becomes two rows, one after the other."""
        names = [name for name in ("text", "text_pair") if name in batch]
        texts = [batch[name][row] for row in range(len(batch["text"])) for name in names]
        found = dict(processor(texts, **cut(seq_len)))
        found["length"] = [len(ids) for ids in found["input_ids"]]
        found["row"] = [row for row in range(len(batch["text"])) for _ in names]
        found["labels"] = [0.0] * len(texts)  # a teacher says what is right
        if self.ranks:
            found |= {name: [batch[name][row] for row in found["row"]] for name in ("query", "judged")}
            found["relevance"] = [batch["label"][row] for row in found["row"]] if "label" in batch else found["judged"]
        elif "label" in batch:
            found["alike"] = [float(batch["label"][row]) for row in found["row"]]
        return found

    def labels(self, tokens: Any) -> Array:
        if self.ranks:
            queries = np.flatnonzero(np.asarray(tokens["query"][:]) >= 0)
            judged = zip(tokens.select(queries)["judged"], tokens.select(queries)["relevance"], strict=True)
            return objects(tuple(zip(*one, strict=True)) for one in judged)
        return np.asarray(tokens.with_format("numpy")["alike"][:])[_firsts(tokens)]

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        """The cosine of the two vectors of each pair; or for each query its best documents."""
        unit = logits / np.maximum(np.linalg.norm(logits, axis=1, keepdims=True), 1e-12)
        if self.ranks:
            return self._found(unit, np.asarray(tokens["query"][:]) >= 0)
        first = _firsts(tokens)
        return np.asarray((unit[first] * unit[first + 1]).sum(axis=1))

    @staticmethod
    def _found(unit: Array, is_query: Array) -> Array:
        documents, found = unit[~is_query], []
        for one in np.array_split(unit[is_query], max(1, is_query.sum() // 64)):
            scores = one @ documents.T
            best = np.argsort(-scores, axis=1, kind="stable")[:, :_DEPTH]
            found += [tuple(map(int, row)) for row in best]
        return objects(found)

    def differ(self, predictions: Array, others: Array) -> float | None:
        """Of the ten nearest documents of each query the share that is others; None of pairs."""
        if not self.ranks:
            return None
        pairs = zip(predictions, others, strict=True)
        return float(
            np.mean([1 - len(set(one[:_NEAR]) & set(other[:_NEAR])) / len(other[:_NEAR]) for one, other in pairs])
        )

    def answer_types(self) -> Row:
        return {"embedding": ["float32"]}

    def answers(self, logits: Sequence[Array], tokens: Sequence[Row], inputs: Sequence[Row]) -> list[Row]:
        """The vector of each text; of pairs that of the first."""
        found: dict[int, Row] = {}
        for token, one in zip(tokens, logits, strict=True):
            found.setdefault(token["row"], {"embedding": [float(value) for value in one]})
        return list(found.values())

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        return (f"{float(value):.6g}" for value in self.predictions(logits, tokens))


def _firsts(tokens: Any) -> Array:
    """Where each pair begins."""
    rows = np.asarray(tokens.with_format("numpy")["row"][:])
    return np.flatnonzero(np.diff(rows, prepend=-1))
