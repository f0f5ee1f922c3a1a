"""Settings of training, and those that every verb has."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from .. import processes
from ..method.names import KERNELS
from .folders import model_folder
from .rules import SettingsError, at_least_one, key, one_of, positive
from .task import ModelSettings, TaskSettings

PRECISIONS = ("fp32", "bf16", "fp16")
TRACKERS = ("tensorboard", "mlflow", "wandb")


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

    name: str = key("name of the preset")
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
        one_of("variant.rounding", self.rounding, ("ceil", "floor"))
        one_of("variant.retrain_from", self.retrain_from, ("finetuned", "searched"))
        one_of("variant.best_by", self.best_by, ("metric", "ibm"))


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
class RuntimeSettings:
    threads: int | None = key("CPU threads; null is one for a hidden size below 256, else PyTorch's choice")
    workers: int = key("processes that prepare batches")
    log_seconds: float = key("seconds between progress lines when the output is no terminal")
    save_minutes: float | None = key("minutes between checkpoints within an epoch; null is one for each epoch only")

    def __post_init__(self) -> None:
        at_least_one("runtime.threads", self.threads)
        if self.save_minutes is not None:
            positive("runtime.save_minutes", self.save_minutes)


@dataclass(kw_only=True)
class FinetuneSettings:
    """What every verb has."""

    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = PRECISIONS

    task: TaskSettings = key("task (group): see the list below")
    model: ModelSettings = key("model (group): see the list below")
    lr: float = key("learning rate of the model's own parameters")
    seq_len: int = key("ℓ: longest input in word-pieces; longer ones are cut")
    batch_size: int = key("examples in a batch")
    epochs: int = key("epochs of each stage (finetune.epochs etc. set one stage)")
    seed: int = key("seed of initial weights, data order and dropout")
    device: str = key("auto, cpu or cuda")
    precision: str = key("fp32, bf16 or fp16; bench also int8")
    attention: str = key(
        "what scores significance: torch (PyTorch's operations), triton (GPU kernel without the n × n matrices), or "
        "auto (triton on a GPU); attention itself is PyTorch's in any case"
    )
    output_dir: str = key("where run directories and finished stages go")
    tracking: str | None = key(
        "experiment tracker that follows trainings and gets the results: tensorboard, mlflow or wandb; null: none"
    )
    checkpoint: str | None = key(
        "start from this fine-tuned model: the folder model of a finetune run, one of transformers, a name on the hub"
    )
    predict_test: bool = key("finetune, retrain: also answer the test split; for GLUE in the server's form")
    fresh: bool = key("make the verb's own stage anew even if a finished one of the same settings is there")
    variant: VariantSettings = key("variant (group): default, paper, ibm: where paper and authors' code differ")
    finetune: StageSettings = key("")
    training: TrainingSettings = key("")
    runtime: RuntimeSettings = key("")

    def __post_init__(self) -> None:
        positive("lr", self.lr)
        positive("finetune.lr", self.finetune.lr)
        for name in ("seq_len", "batch_size", "epochs"):
            at_least_one(name, getattr(self, name))
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed={self.seed} must be in 0 … 2³²-1")
        if self.seq_len < 8:
            raise SettingsError(f"seq_len={self.seq_len} must be at least 8: [CLS], [SEP] and some words have to fit")
        at_least_one("finetune.epochs", self.finetune.epochs)
        if self.training.class_weights and self.task.kind != "classification":
            raise SettingsError(
                f"training.class_weights={self.training.class_weights} is for task.kind=classification, not "
                f"{self.task.kind}; leave it out"
            )
        one_of("precision", self.precision, self.PRECISIONS_HERE)
        one_of("attention", self.attention, KERNELS)
        one_of("device", self.device, ("auto", "cpu", "cuda"))
        if self.tracking is not None:
            one_of("tracking", self.tracking, TRACKERS)
        if self.batch_size % (self.training.accumulation * processes.count()):
            together = f" times {processes.count()} processes" if processes.count() > 1 else ""
            raise SettingsError(
                f"batch_size={self.batch_size} must be a multiple of training.accumulation={self.training.accumulation}"
                f"{together}"
            )
        if self.predict_test and self.task.max_test is not None:
            raise SettingsError(
                f"predict_test=true answers every test row, task.max_test={self.task.max_test} draws some; give one"
            )
        if self.predict_test and self.task.folds is not None:
            raise SettingsError(
                "predict_test=true answers with one model, task.folds trains several; give one of the two"
            )
        if self.checkpoint:
            self.checkpoint_dir  # noqa: B018  (checks it)

    @property
    def checkpoint_dir(self) -> Path:
        """Where the checkpoint is: a folder, or the hub's in the cache."""
        assert self.checkpoint is not None
        way_out = "give the folder 'model' of a finished finetune run, or a classifier as transformers saves it"
        return model_folder("checkpoint", self.checkpoint, "config.json", way_out)

    @property
    def start_model(self) -> ModelSettings:
        """The model that stages start from, and whose tokenizer reads the texts: the checkpoint where one is given."""
        return self.model.of_folder("checkpoint", self.checkpoint) if self.checkpoint else self.model
