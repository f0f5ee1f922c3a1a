"""What decides the result of each stage: one record a stage, all of whose fields are hashed into its identity.

Contents stand for themselves: rows, weights and tokenizers are named by digests, not by the settings that led to them.
What does not decide is in no record: names of classes and files, devices, threads, workers.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all stages have.

    Attributes:
        versions: of torch, transformers and powerbert.
        train: content of the training rows.
        tokenizer: its content.
        seq_len: ℓ.
    """

    STAGE: ClassVar[str]

    versions: dict[str, str | None]
    train: str
    tokenizer: str
    seq_len: int

    def decides(self) -> dict[str, Any]:
        """Every field, for the stage's identity and manifest."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MeasuredRecord(Record):
    """A stage that ends with a metric on dev.

    Attributes:
        dev: content of the dev rows, which choose the best epoch and are measured on.
        kind, classes: of the task; 0 classes of a regression.
        metric: that is reported. best_by: what the best epoch is chosen by.
        training: settings of the training that bear on its result; of a stage that does not train its precision.
    """

    dev: str
    kind: str
    classes: int
    metric: str
    best_by: str
    batch_size: int
    seed: int
    training: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FinetuneRecord(MeasuredRecord):
    """
    Attributes:
        start: content of the weights, or the config of random ones; a model of the hub by name and revision.
        new_head: whether a classifier to start from gets a head of its own, as its classes are called otherwise.
        stage: epochs and learning rate.
    """

    STAGE: ClassVar[str] = "finetune"

    start: Any
    new_head: bool
    stage: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SearchRecord(MeasuredRecord):
    """
    Attributes:
        start: content of the fine-tuned model.
        elimination, rounding: see `Elimination` and the variant.
        searcher: and how it searches: its options, λ and learning rate of a soft search.
        target: what was asked for in place of λ; retrain: how target.max_drop re-trains its trials.
        measured_on: device, processor, threads and precision, where times decide.
        stage: epochs and learning rate of a soft search.
    """

    STAGE: ClassVar[str] = "search"

    start: str
    elimination: dict[str, Any]
    rounding: str
    searcher: str
    options: dict[str, Any]
    target: dict[str, float]
    retrain: dict[str, Any] | None
    measured_on: list[Any] | None
    stage: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class RetrainRecord(MeasuredRecord):
    """
    Attributes:
        start: content of the model that is re-trained.
        elimination: with its retention configuration.
        stage: epochs, learning rate and options.
        teacher: content of the model that is distilled; None without distillation.
    """

    STAGE: ClassVar[str] = "retrain"

    start: str
    elimination: dict[str, Any]
    stage: dict[str, Any]
    teacher: str | None


@dataclass(frozen=True, kw_only=True)
class TeacherRecord(Record):
    """
    Attributes:
        start: content of the fine-tuned model.
        first: whether also its last [CLS] vectors are kept.
    """

    STAGE: ClassVar[str] = "teacher"

    start: str
    precision: str
    first: bool


@dataclass(frozen=True, kw_only=True)
class TestedRecord(Record):
    """
    Attributes:
        test: content of the test rows.
        model: content of the model that answers; elimination: of a shortened one.
        kind, metric: of the task.
    """

    STAGE: ClassVar[str] = "tested"

    test: str
    model: str
    elimination: dict[str, Any]
    kind: str
    metric: str
