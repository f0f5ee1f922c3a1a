"""What a kind of tasks says of itself: its names, its settings, the models that answer it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self


class Declared:
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
    def of_task(cls, names: Sequence[str] | None, task: Mapping[str, Any]) -> Self:
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
