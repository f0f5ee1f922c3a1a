"""The right one of several choices for each context with a question."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from .classification import Classification
from .kind import Array, Row, cut
from .labels import LabelError
from .values import shown, text_of


class MultipleChoice(Classification):
    NAME = "multiple_choice"
    ABOUT = "the right one of several choices"
    HEAD = "ForMultipleChoice"
    PIPELINE = "multiple-choice"
    PROBLEM: ClassVar[str | None] = None  # transformers' multiple-choice models know one loss only
    CHOOSES = True
    NAMES_FROM_ROWS = False
    STRATIFIES = False
    BY_CLASS = False  # a choice is another text in each row

    @property
    def outputs(self) -> list[str]:
        """One, which each choice gets."""
        return ["choice"]

    def features(self, texts: Sequence[str]) -> Row:
        return {**super().features(texts), "choices": ["string"]}

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        return {**super().inputs(row, texts), "choices": self._choices(row.get(self.options_column or ""))}

    def texts(self, inputs: Row) -> tuple[str, ...] | None:
        return None

    def _choices(self, value: Any) -> list[str]:
        count, column = len(self.names or ()), self.options_column or ""
        if not isinstance(value, list) or len(value) != count or any(choice is None for choice in value):
            raise LabelError(f"has {column}={shown(value)}; it must be a list of {count} choices (task.label_names)")
        return [text_of(choice, column) for choice in value]

    def counts(self, labels: Array) -> dict[str, Any]:
        return {}

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """(context, question and choice) for each choice; a cloze question has the choice in its gap.

        Each column has a list with one entry for each choice, and length is that of the longest.
        """
        contexts, questions = [], []
        counts = [len(choices) for choices in batch["choices"]]
        for context, question, choices in zip(batch["text"], batch["text_pair"], batch["choices"], strict=True):
            contexts += [context] * len(choices)
            questions += [
                question.replace("_", choice, 1) if "_" in question else f"{question} {choice}" for choice in choices
            ]
        flat = processor(contexts, questions, **cut(seq_len))
        nested: dict[str, list[Any]] = {name: [] for name in flat}
        start = 0
        for count in counts:
            for name, values in flat.items():
                nested[name].append(values[start : start + count])
            start += count
        nested["length"] = [max(map(len, ids)) for ids in nested["input_ids"]]
        return nested | ({"labels": batch["label"]} if "label" in batch else {})

    def collator(self, processor: Any, **padding: Any) -> Callable[[list[Row]], Any]:
        from transformers import DataCollatorForMultipleChoice

        collate = DataCollatorForMultipleChoice(processor, **padding)
        # it insists on labels
        return lambda rows: collate([{"labels": 0, **row} for row in rows])

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        return (list(self.names or ())[int(value)] for value in self.predictions(logits))
