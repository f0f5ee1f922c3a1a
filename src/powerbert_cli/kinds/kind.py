"""What a task is about, all in one place: columns, head, loss, metrics, and how answers are written.

Everything else asks the kind: `TaskSettings.of_kind` is the one of a task.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .values import text_of

Array = np.ndarray
Row = dict[str, Any]


class Kind(ABC):
    """What the tasks of a kind have in common; this much holds of texts that one label belongs to.

    Args:
        names: of the classes; None where there are none.
        metric: the headline metric.
        options: those of `OPTIONS` that the task has.

    Attributes:
        NAME: task.kind. ABOUT: what is predicted, for help.
        HEAD: transformers' name of the architecture, without the family.
        PROBLEM: transformers' problem_type, which says the loss; None where the head has one loss only.
        PIPELINE: what the hub calls it. LIBRARY: that the hub loads such models with.
        METRICS: that it is measured by, the usual one first.
        MEDIUM: column of an encoded row that its collator makes inputs of; None where a row has the inputs themselves.
        ARE: what is asked of a model, for messages. UNIT: what ℓ counts of them.
        CUTS: inputs are cut to ℓ; else they are as long as the model has it.
        REFUSES_LONG: inputs longer than ℓ are refused, as a cut would lose what is asked for.
        SPELLS: the model's outputs are the letters of its processor.
        TASK: the config of a task of one's own. GENERATED: what `task.synthetic` has beside rows and seed.
        PROCESSOR: the sort of what turns its rows into inputs, in `models.processors`.
        TEXTS: how many text columns there may be.
        KNOWN: names that they go by, the first that is there before the next.
        NAMED: it has classes (or choices) with names.
        CHOOSES: each row has its own choices, in task.options_column.
        NAMES_FROM_ROWS: task.label_names=auto reads them from the rows.
        VALUES: a number is predicted. BY_CLASS: metrics have a meaning class by class.
        STAND_INS: names of classes until task.label_names=auto is settled.
        STRATIFIES: each row is of one class, of which folds get like shares.
        LABEL: type of the label column.
        TAUGHT: it learns from the answers of the model that it starts from, and needs no labels.
        MAY_BE_TAUGHT: so it does where training rows have no labels.
        LIKE: other problem types of models whose outputs mean the same.
        CANDIDATES: a row is a query with documents. INPUTS: that a row is taken to become, where memory is counted.
        WINDOWS: texts longer than ℓ become several inputs.
        MERGES: its head does without single word-vectors, so that they may be put together (strategy=merge).
        MAY_REFUSE: no answer may be right, by task.no_answer.
        OPTIONS: further settings of a task that some kinds read; they are its attributes.
    """

    NAME: ClassVar[str]
    ABOUT: ClassVar[str]
    HEAD: ClassVar[str] = "ForSequenceClassification"
    PROBLEM: ClassVar[str | None] = None
    PIPELINE: ClassVar[str] = "text-classification"
    LIBRARY: ClassVar[str] = "transformers"
    METRICS: ClassVar[tuple[str, ...]]
    MEDIUM: ClassVar[str | None] = None
    ARE: ClassVar[str] = "texts"
    UNIT: ClassVar[str] = "word-pieces"
    CUTS: ClassVar[bool] = True
    REFUSES_LONG: ClassVar[bool] = False
    SPELLS: ClassVar[bool] = False
    TASK: ClassVar[str] = "custom"
    GENERATED: ClassVar[tuple[str, ...]] = ("max_words",)
    PROCESSOR: ClassVar[str] = "tokenizer"
    TEXTS: ClassVar[tuple[int, ...]] = (1, 2)
    KNOWN: ClassVar[tuple[list[str], ...]] = (
        *(["sentence1", "sentence2"], ["text", "text_pair"], ["question", "sentence"], ["sentence"], ["text"]),
    )
    NAMED: ClassVar[bool] = True
    CHOOSES: ClassVar[bool] = False
    NAMES_FROM_ROWS: ClassVar[bool] = False
    STAND_INS: ClassVar[tuple[str, ...]] = ("0", "1")
    STRATIFIES: ClassVar[bool] = False
    VALUES: ClassVar[bool] = False
    BY_CLASS: ClassVar[bool] = False
    LABEL: ClassVar[Any] = "int64"
    WINDOWS: ClassVar[bool] = False
    MERGES: ClassVar[bool] = True
    TAUGHT: ClassVar[bool] = False
    MAY_BE_TAUGHT: ClassVar[bool] = False
    LIKE: ClassVar[tuple[str, ...]] = ()
    CANDIDATES: ClassVar[bool] = False
    INPUTS: ClassVar[int] = 1
    MAY_REFUSE: ClassVar[bool] = False
    OPTIONS: ClassVar[dict[str, Any]] = {
        **{"options_column": None, "stride": None, "no_answer": None, "max_answer": 30},
        "candidates": 50,
    }

    options_column: str | None
    stride: int | None
    no_answer: float | None
    max_answer: int
    candidates: int

    def __init__(self, names: Sequence[str] | None, metric: str, **options: Any) -> None:
        self.names, self.metric = None if names is None else list(names), metric
        if unknown := set(options) - set(self.OPTIONS):
            raise TypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(self.OPTIONS)}")
        vars(self).update(self.OPTIONS | options)

    @classmethod
    def of_task(cls, names: Sequence[str] | None, task: Mapping[str, Any]) -> "Kind":
        """
        Args:
            task: settings of a task, of which any may be missing.
        """
        options = {name: task[name] for name in cls.OPTIONS if name in task}
        return cls(names, task.get("metric", cls.METRICS[0]), **options)

    # settings

    @classmethod
    def wrong(cls, task: Any) -> str | None:
        """The rule that a `TaskSettings` of this kind breaks, with the way out; None if it breaks none."""
        if (task.options_column is not None) != cls.CHOOSES:
            return "task.options_column belongs to task.kind=multiple_choice, and that kind needs it"
        if task.no_answer is not None and not cls.MAY_REFUSE:
            return (
                f"task.no_answer={task.no_answer:g} is for task.kind=question_answering alone; set task.no_answer=null"
            )
        if (task.label_names is not None) != cls.NAMED:
            rule = "needs the names of its classes" if cls.NAMED else "has no classes; set task.label_names=null"
            return f"task.kind={cls.NAME} with task.label_names={task.label_names}: it {rule}"
        if cls.NAMED and len(task.label_names) < 2:
            return f"task.label_names={task.label_names} must name at least two classes, or be null"
        return None

    @classmethod
    def usual_metric(cls, names: Sequence[str] | None) -> str:
        """task.metric=auto."""
        return cls.METRICS[0]

    @classmethod
    def labels_in(cls, value: Any) -> Iterable[Any]:
        """The names, or numbers, of classes in a value of the label column, for task.label_names=auto."""
        return (value,)

    @classmethod
    def ordered(cls, names: Sequence[str]) -> list[str]:
        """The same names in the order in which task.label_names=auto has them."""
        return sorted(names)

    @classmethod
    def odd(cls, names: Sequence[str]) -> str | None:
        """What makes names that were read from rows look like a mistake, with the way out; None if nothing does."""
        return None

    @property
    def decides(self) -> str:
        """What beside rows, ℓ and metric decides how good a model is."""
        return self.NAME

    @property
    def of_authors_code(self) -> bool:
        """Whether each row has a class or a number, by which the authors' code chooses: accuracy, or Pearson."""
        return not (self.WINDOWS or self.CANDIDATES)

    # model

    @classmethod
    def fits(cls, head: str, problem: str | None, outputs: int) -> bool:
        """Whether a model answers this, by what transformers' config says of it."""
        return head == cls.HEAD and cls.PROBLEM in (problem, None)

    @property
    def outputs(self) -> list[str]:
        """What the model's outputs are called, one for each."""
        return list(self.names or ("value",))

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
