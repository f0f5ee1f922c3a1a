"""Settings of training."""

from dataclasses import asdict, dataclass
from typing import Any

from .. import processes
from .common import PRECISIONS
from .rules import Part, SettingsError, at_least_one, key, one_of, positive
from .task import TaskSettings


@dataclass(kw_only=True)
class StageSettings:
    epochs: int = key("epochs of this stage")
    lr: float = key("learning rate of this stage (of the model's own parameters)")

    def decides(self) -> dict[str, Any]:
        """What of it decides a result."""
        return asdict(self)


@dataclass(kw_only=True)
class VariantSettings:
    """Where the paper and its authors' code differ, or say nothing."""

    diagonal: bool = key("significance counts what a word-vector takes from itself")
    pad_queries: bool = key("significance counts what padding takes; the choice then depends on the padding")
    shield_cls: bool = key("soft-extract holds [CLS] and other protected word-vectors at 1")
    rounding: str = key("from mass to length: ceil or floor (at least 1)")
    retrain_from: str = key("re-training starts from the fine-tuned or the search model: finetuned or searched")
    best_by: str = key(
        "the epoch to keep is the best by the task's metric (metric), or by accuracy, for regression by "
        "Pearson averaged over batches (ibm)"
    )

    def __post_init__(self) -> None:
        one_of("research.variant.rounding", self.rounding, ("ceil", "floor"))
        one_of("research.variant.retrain_from", self.retrain_from, ("finetuned", "searched"))
        one_of("research.variant.best_by", self.best_by, ("metric", "ibm"))


@dataclass(kw_only=True)
class TrainingSettings:
    precision: str = key("precision of training: " + ", ".join(PRECISIONS))
    warmup_ratio: float = key("share of the steps in which the learning rate rises from 0; it then falls to 0")
    weight_decay: float = key("decoupled weight decay (0 as published)")
    max_grad_norm: float = key("clipping of the task's gradient, that of λ apart; 0 for none (as published)")
    attention_dropout: float | None = key(
        "dropout of attention weights; null is the model's own, 0 trains faster on a CPU"
    )
    accumulation: int = key("micro-batches that make one batch_size")
    padding: str = key("pad training batches to the longest input or to max (ℓ)")
    group_by_length: bool = key("batches of inputs of about the same length")
    class_weights: str | None = key(
        "balanced: a row counts n / (C · rows of its class), as in scikit-learn, so that rare classes weigh as much as "
        "frequent ones; null: 1"
    )
    early_stopping: int | None = key(
        "epochs without a better dev metric after which fine-tuning or re-training ends; null: never"
    )

    def __post_init__(self) -> None:
        one_of("training.precision", self.precision, PRECISIONS)
        one_of("training.padding", self.padding, ("longest", "max"))
        if self.attention_dropout is not None and not 0 <= self.attention_dropout < 1:
            raise SettingsError(f"training.attention_dropout={self.attention_dropout} must be in [0, 1), or null")
        at_least_one("training.accumulation", self.accumulation)
        at_least_one("training.early_stopping", self.early_stopping)
        if self.class_weights is not None:
            one_of("training.class_weights", self.class_weights, ("balanced",))
        if not 0 <= self.warmup_ratio < 1:
            raise SettingsError(f"training.warmup_ratio={self.warmup_ratio} must be in [0, 1)")


@dataclass(kw_only=True)
class Training(Part):
    lr: float = key("learning rate of the model's own parameters", common=True)
    epochs: int = key("epochs of each stage (finetune.epochs etc. set one stage)", common=True)
    finetune: StageSettings = key("")
    training: TrainingSettings = key("")
    variant: VariantSettings = key("", research=True)

    def verify(self) -> None:
        positive("lr", self.lr)
        positive("finetune.lr", self.finetune.lr)
        at_least_one("epochs", self.epochs)
        at_least_one("finetune.epochs", self.finetune.epochs)

    def check_rows(self, task: TaskSettings, batch_size: int) -> None:
        """Raises a SettingsError where the training does not fit the task or the batches."""
        if self.training.class_weights and not task.of_kind.STRATIFIES:
            raise SettingsError(
                f"training.class_weights={self.training.class_weights} is for task.kind=classification, not "
                f"{task.kind}; leave it out"
            )
        if self.variant.best_by == "ibm" and not task.of_kind.of_authors_code:
            raise SettingsError(
                f"research.variant.best_by=ibm compares a class or a number of each row; task.kind={task.kind} with "
                f"task.metric={task.metric} has none; set research.variant.best_by=metric"
            )
        if batch_size % (self.training.accumulation * processes.count()):
            together = f" times {processes.count()} processes" if processes.count() > 1 else ""
            raise SettingsError(
                f"batch_size={batch_size} must be a multiple of training.accumulation={self.training.accumulation}"
                f"{together}"
            )


@dataclass(kw_only=True)
class Making(Part):
    """Of verbs that make a stage of their own."""

    fresh: bool = key("make the verb's own stage anew even if a finished one of the same settings is there")


@dataclass(kw_only=True)
class Answering(Part):
    """Of verbs whose model can answer the test split."""

    predict_test: bool = key("also answer the test split; for GLUE in the server's form")

    def check_answers(self, task: TaskSettings) -> None:
        """Raises a SettingsError where the task's keys leave no such answers."""
        if self.predict_test and task.max_test is not None:
            raise SettingsError(
                f"predict_test=true answers every test row, task.max_test={task.max_test} draws some; give one"
            )
        if self.predict_test and task.folds is not None:
            raise SettingsError(
                "predict_test=true answers with one model, task.folds trains several; give one of the two"
            )
