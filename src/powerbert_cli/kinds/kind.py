"""What a task is about, all in one place: columns, head, loss, metrics, and how answers are written.

Everything else asks the kind: `TaskSettings.of_kind` is the one of a task.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .declared import Declared
from .values import text_of

Array = np.ndarray
Row = dict[str, Any]


class Kind(Declared, ABC):
    """What the tasks of a kind have in common; this much holds of texts that one label belongs to."""

    # rows

    def label_columns(self, columns: Sequence[str], label_column: str) -> list[str] | None:
        """The columns of a file that labels are read from; None if it has none."""
        return [label_column] if label_column in columns else None

    def features(self, texts: Sequence[str]) -> Row:
        """Types of the columns of a row in one form, without its label.

        Args:
            texts: the text columns of the file.
        """
        return dict.fromkeys(("text", "text_pair")[: len(texts)], "string")

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        """What a model is given, from a row of a file.

        Raises:
            RowError
        """
        return {to: text_of(row.get(column), column) for to, column in zip(("text", "text_pair"), texts, strict=False)}

    @property
    def label_type(self) -> Any:
        """Type of the column of labels of rows in one form."""
        return self.LABEL

    @abstractmethod
    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        """(row of a file, its inputs) → label.

        Args:
            columns: with the labels.
            in_file: names that the file itself gives to its numbers (ClassLabel); None if it gives none.

        Raises:
            LabelError: the file's names are others than the task's; by what is returned: a value is no label.
        """

    def undefined(self, labels: Array) -> str | None:
        """Why the metric means nothing on a split's labels (n, …), where its kind alone knows; else None."""
        return None

    def counts(self, labels: Array) -> dict[str, Any]:
        """How often each label stands in a split, or what else is to be known of labels (n, …)."""
        return {}

    def texts(self, inputs: Row) -> tuple[str, ...] | None:
        """The one or two texts of a row whose words can be followed through the layers; None if it has others."""
        return tuple(inputs[name] for name in ("text", "text_pair") if name in inputs)

    # word-pieces

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """Rows to what a model takes, of at most ℓ word-pieces (None for all), each with its `length`.

        A row may become several, whose `row` says of which they are.
        """
        encoded = dict(processor(*(batch[name] for name in ("text", "text_pair") if name in batch), **cut(seq_len)))
        encoded["length"] = [len(ids) for ids in encoded["input_ids"]]
        if "label" in batch:
            encoded["labels"] = batch["label"]
        return encoded

    def refused(self, inputs: Row, processor: Any, seq_len: int | None) -> str | None:
        """Why a model cannot answer what `inputs` gave; None if it can."""
        return None

    def check_learnable(self, rows: Any, processor: Any) -> None:
        """Whether training rows in one form can be learnt with this processor.

        Raises:
            RowError
        """
        return None

    def unlearnt(self, rows: Any, processor: Any) -> str | None:
        """What of rows' labels a model with this processor never says; None if there is nothing."""
        return None

    def about(self, tokens: Any, processor: Any) -> str | None:
        """What is made of encoded rows that people should know; None if there is nothing."""
        return None

    def lasts(self, length: int, processor: Any) -> str:
        """How long an input of so many word-vectors lasts, to stand behind their number; empty of what has no time."""
        return ""

    @classmethod
    def at_once(cls, rows: int) -> int:
        """As many rows as take the memory of so many of one input each."""
        return max(1, rows // cls.INPUTS)

    def collator(self, processor: Any, **padding: Any) -> Callable[[list[Row]], Any]:
        """A collator of transformers: encoded rows → tensors."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(processor, **padding)

    def batched(self, labels: list[Any], length: int) -> list[Any]:
        """Labels of rows as those of a batch of inputs padded to a length."""
        return labels

    def examples(self, labels: Any) -> Any:
        """How many examples a batch's labels are, over which its loss is a mean."""
        return len(labels)

    # answers

    def labels(self, tokens: Any) -> Array:
        """What the metrics compare predictions with, (n, …), of encoded rows."""
        return np.asarray(tokens.with_format("numpy")["labels"][:])

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        """What is predicted, (n, …), from logits (m, C) of the encoded rows."""
        return np.asarray(logits.argmax(axis=-1))

    def differ(self, predictions: Array, others: Array) -> float | None:
        """The share of the rows with another answer; None where nearly all differ, if by little."""
        return float(np.mean((predictions != others).reshape(len(others), -1).any(axis=1)))

    def answer_types(self) -> Row:
        """Types of what `answers` gives, as of `features`; a dict has a type for each field."""
        return {"label": "string", "probability": dict.fromkeys(self.outputs, "float64")}

    def answers(self, logits: Sequence[Array], tokens: Sequence[Row], inputs: Sequence[Row]) -> list[Row]:
        """What `predict` writes of each row.

        Args:
            logits: (C,) of each encoded row. tokens: these rows. inputs: of each row; see `inputs`.
        """
        return [self.said(np.asarray(one, dtype=np.float64)) for one in logits]

    def said(self, logits: Array) -> Row:
        """The same of one row, from logits (C,)."""
        shares = softmax(logits)
        named = dict(zip(self.outputs, map(float, shares), strict=True))
        return {"label": self.outputs[int(logits.argmax())], "probability": named}

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        """The prediction of each row as a file of answers to a test split has it."""
        return (self.outputs[int(value)] for value in self.predictions(logits, tokens))


def objects(values: Iterable[Any]) -> Array:
    """Values that are no numbers, one for each row, (n,)."""
    given = list(values)
    found = np.empty(len(given), dtype=object)
    for i, value in enumerate(given):
        found[i] = value  # all at once, NumPy would take tuples of one length for a table
    return found


def softmax(logits: Array) -> Array:
    """Probabilities along the last dimension."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def cut(seq_len: int | None) -> dict[str, Any]:
    """How a tokenizer is called for inputs of at most ℓ word-pieces."""
    return {"truncation": seq_len is not None, "max_length": seq_len, "verbose": False}
