"""Typed settings of each verb, made from the composed config before any work is done.

A field's `doc` is what `powerbert VERB --help` prints; defaults stand in `conf/` alone. What
can be known to be wrong from the config itself is refused here.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from .errors import PowerbertError, nearest
from .method.names import KERNELS, STRATEGIES

KINDS = ("classification", "regression", "multiple_choice", "multi_label")
REGULARIZERS = ("loss", "decoupled")
METRICS = ("accuracy", "f1", "matthews", "pearson", "spearman")
PRECISIONS = ("fp32", "bf16", "fp16")
PADDINGS = ("max", "longest", "sorted")
ENGINES = ("eager", "compile", "onnx", "openvino")
BENCH_PRECISIONS = (*PRECISIONS, "int8")
BENCH_MODELS = ("plain", "plain-cls", "shortened")
AUTO = "auto"  # seq_len and lr_soft: settled from the data before the settings are typed
# `lambda` is the user's key and a keyword of Python.
RENAMED = {"lambda": "regularizer_weight"}


class SettingsError(PowerbertError):
    """A config value that breaks a rule."""


def key(doc: str) -> Any:
    """A required settings field with its line of help."""
    return field(metadata={"doc": doc}, kw_only=True)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise SettingsError(f"{name}={value} must be a number above 0")


def _at_least_one(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise SettingsError(f"{name}={value} must be at least 1")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name}={value} is none of {', '.join(allowed)}{nearest(value, allowed)}")


@dataclass(kw_only=True)
class TaskSettings:
    name: str = key("name of the task")
    kind: str = key("what is predicted: " + ", ".join(KINDS))
    hub_path: str | None = key("dataset on the hub")
    hub_name: str | None = key("configuration of that dataset")
    dev_split: str = key("split of the hub dataset that metrics are measured on")
    data_dir: str | None = key(
        "local folder with train.*, dev.* or validation.*, optional test.* (tsv, csv, jsonl, parquet; also .gz)"
    )
    test_split: str = key("split of the hub dataset that predict_test answers")
    text_columns: list[str] = key("one text column, two for pairs, or context and question of a multiple choice")
    options_column: str | None = key("column with the list of choices (multiple choice only)")
    label_column: str = key("column of the label")
    label_names: list[str] | None = key(
        "names of the classes in the order of their numbers, of the choices, or null for regression"
    )
    metric: str = key("headline metric: " + ", ".join(METRICS))
    max_train: int | None = key("use that many training rows, drawn once with a fixed seed")
    max_dev: int | None = key("use that many dev rows, drawn once with a fixed seed")
    synthetic: dict[str, int] | None = key("sizes and seed of the generated task")
    submission: dict[str, Any] | None = key("file name and label names of the GLUE server's test-set file")
    published: dict[str, Any] = key("the task's settings that the top-level keys default to")

    def __post_init__(self) -> None:
        _one_of("task.kind", self.kind, KINDS)
        _one_of("task.metric", self.metric, METRICS)
        if len(self.text_columns) not in (1, 2):
            raise SettingsError(f"task.text_columns={self.text_columns} must name one column, or two for pairs")
        if (self.kind == "multiple_choice") != (self.options_column is not None):
            raise SettingsError("task.options_column belongs to task.kind=multiple_choice, and that kind needs it")
        if self.regression != (self.label_names is None):
            raise SettingsError(
                f"task.kind={self.kind} with task.label_names={self.label_names}: "
                "regression has none (null), every other kind needs them"
            )
        if self.label_names is not None and len(self.label_names) < 2:
            raise SettingsError(f"task.label_names={self.label_names} must name at least two classes, or be null")
        if self.regression and self.metric not in ("pearson", "spearman"):
            raise SettingsError(f"task.metric={self.metric} needs classes; for regression set spearman or pearson")
        if not self.regression and self.metric in ("pearson", "spearman"):
            raise SettingsError(
                f"task.metric={self.metric} is for regression; set task.kind=regression task.label_names=null"
            )
        if self.metric == "f1" and self.kind != "multi_label" and len(self.label_names or ()) != 2:
            raise SettingsError("task.metric=f1 needs exactly two classes in task.label_names")
        if self.metric == "matthews" and self.kind == "multi_label":
            raise SettingsError("task.metric=matthews is not for task.kind=multi_label; set f1 or accuracy")
        _at_least_one("task.max_train", self.max_train)
        _at_least_one("task.max_dev", self.max_dev)
        if not (self.data_dir or self.hub_path or self.synthetic):
            raise SettingsError(f"task={self.name} needs task.data_dir=FOLDER with your train.* and dev.* files")
        if self.data_dir and not Path(self.data_dir).is_dir():
            raise SettingsError(f"task.data_dir={self.data_dir} is not a folder")

    @property
    def regression(self) -> bool:
        return self.kind == "regression"


@dataclass(kw_only=True)
class ModelSettings:
    name: str = key("name of the preset")
    name_or_path: str | None = key("model on the hub, or a local folder; goes before model.config")
    config: dict[str, Any] | None = key("settings of transformers' config for a model with random weights")
    tokenizer: str | None = key("tokenizer for random weights; null builds a vocabulary from the task")
    vocab_size: int | None = key("most entries of a vocabulary built from the task")
    trust_remote_code: bool = key("let a downloaded model run its own code; off unless you trust it")

    def __post_init__(self) -> None:
        if not (self.name_or_path or self.config):
            raise SettingsError("model has neither name_or_path nor config; set model.name_or_path=FOLDER or NAME")

    @property
    def label(self) -> str:
        """What to call the model: where its weights come from, else the preset."""
        return Path(self.name_or_path).name if self.name_or_path else self.name


@dataclass(kw_only=True)
class StageSettings:
    epochs: int = key("epochs of this stage")
    lr: float = key("learning rate of this stage (of the model's own parameters)")


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
        _one_of("variant.rounding", self.rounding, ("ceil", "floor"))
        _one_of("variant.retrain_from", self.retrain_from, ("finetuned", "searched"))
        _one_of("variant.best_by", self.best_by, ("metric", "ibm"))


@dataclass(kw_only=True)
class TrainingSettings:
    precision: str = key("precision of training: " + ", ".join(PRECISIONS))
    warmup_ratio: float = key("share of the steps in which the learning rate rises from 0; it then falls to 0")
    weight_decay: float = key("decoupled weight decay (0 as published)")
    max_grad_norm: float = key("gradient clipping; 0 for none (as published)")
    attention_dropout: float | None = key(
        "dropout of attention weights; null is the model's own, 0 trains faster on a CPU"
    )
    accumulation: int = key("micro-batches that make one batch_size")
    padding: str = key("pad training batches to the longest input or to max (ℓ)")
    group_by_length: bool = key("batches of inputs of about the same length")

    def __post_init__(self) -> None:
        _one_of("training.precision", self.precision, PRECISIONS)
        _one_of("training.padding", self.padding, ("longest", "max"))
        if self.attention_dropout is not None and not 0 <= self.attention_dropout < 1:
            raise SettingsError(f"training.attention_dropout={self.attention_dropout} must be in [0, 1), or null")
        _at_least_one("training.accumulation", self.accumulation)
        if not 0 <= self.warmup_ratio < 1:
            raise SettingsError(f"training.warmup_ratio={self.warmup_ratio} must be in [0, 1)")


@dataclass(kw_only=True)
class RuntimeSettings:
    threads: int | None = key("CPU threads; null leaves PyTorch's choice")
    workers: int = key("processes that prepare batches")
    log_seconds: float = key("seconds between progress lines when the output is no terminal")

    def __post_init__(self) -> None:
        _at_least_one("runtime.threads", self.threads)


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
        "how significance is scored: torch (PyTorch's operations), triton (GPU kernel without the n × n matrices), or "
        "auto (triton where it is faster)"
    )
    output_dir: str = key("where run directories and finished stages go")
    checkpoint: str | None = key("start from this fine-tuned model directory")
    predict_test: bool = key("finetune, retrain: also answer the test split; for GLUE in the server's form")
    fresh: bool = key("make the verb's own stage anew even if a finished one of the same settings is there")
    variant: VariantSettings = key("variant (group): default, paper, ibm: where paper and authors' code differ")
    finetune: StageSettings = key("")
    training: TrainingSettings = key("")
    runtime: RuntimeSettings = key("")

    def __post_init__(self) -> None:
        _positive("lr", self.lr)
        _positive("finetune.lr", self.finetune.lr)
        for name in ("seq_len", "batch_size", "epochs"):
            _at_least_one(name, getattr(self, name))
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed={self.seed} must be in 0 … 2³²-1")
        if self.seq_len < 8:
            raise SettingsError(f"seq_len={self.seq_len} must be at least 8: [CLS], [SEP] and some words have to fit")
        _at_least_one("finetune.epochs", self.finetune.epochs)
        _one_of("precision", self.precision, self.PRECISIONS_HERE)
        _one_of("attention", self.attention, KERNELS)
        _one_of("device", self.device, ("auto", "cpu", "cuda"))
        if self.batch_size % self.training.accumulation:
            raise SettingsError(
                f"batch_size={self.batch_size} must be a multiple of training.accumulation={self.training.accumulation}"
            )
        if self.checkpoint and not (Path(self.checkpoint) / "config.json").is_file():
            raise SettingsError(
                f"checkpoint={self.checkpoint} is no model directory (no config.json in it); "
                "give the folder 'model' of a finished finetune run"
            )

    @property
    def start_model(self) -> ModelSettings:
        """The model that stages start from: the checkpoint where one is given."""
        if not self.checkpoint:
            return self.model
        trust = self.model.trust_remote_code
        return ModelSettings(
            name="checkpoint",
            name_or_path=self.checkpoint,
            config=None,
            tokenizer=None,
            vocab_size=None,
            trust_remote_code=trust,
        )


@dataclass(kw_only=True)
class SearchSettings(FinetuneSettings):
    regularizer_weight: float = key("weight λ of the regulariser Σ_j j · mass_j")
    lr_soft: float = key("learning rate of the retention parameters; auto fits it to the number of steps")
    strategy: str = key("word-vector selection: " + ", ".join(STRATEGIES))
    protect_separators: bool = key("never eliminate separators ([SEP]); [CLS] never is")
    regularizer: str = key(
        "loss: λ Σ_j j · mass_j in the loss, as in the paper; decoupled: the same shrink apart from Adam, "
        "so that λ keeps its meaning"
    )
    search: StageSettings = key("")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.regularizer_weight) and self.regularizer_weight >= 0):
            raise SettingsError(f"lambda={self.regularizer_weight} must be a number ≥ 0, for example lambda=3e-4")
        _positive("lr_soft", self.lr_soft)
        _one_of("strategy", self.strategy, STRATEGIES)
        _one_of("regularizer", self.regularizer, REGULARIZERS)
        _positive("search.lr", self.search.lr)
        _at_least_one("search.epochs", self.search.epochs)


@dataclass(kw_only=True)
class RetentionSettings:
    path: str | None = key("a retention.json written by search")
    lengths: Any = key("ℓ_1 … ℓ_L as a list, e.g. [153,125,111]; or full")
    thresholds: list[float] | None = key("θ_1 … θ_L of strategy=threshold, on significance over its mean")

    def __post_init__(self) -> None:
        given = [name for name in ("path", "lengths", "thresholds") if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(f'retention.{name}' for name in given)} are given; give one of them")
        if self.path and not Path(self.path).is_file():
            raise SettingsError(f"retention.path={self.path} is not a file; search writes it as retention.json")


@dataclass(kw_only=True)
class RetrainSettings(SearchSettings):
    retention: RetentionSettings = key("retention configuration (group): searched (default), full, paper/…")
    retrain: StageSettings = key("")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.retention.thresholds is not None and self.strategy != "threshold":
            raise SettingsError(f"retention.thresholds needs strategy=threshold, not strategy={self.strategy}")
        if self.retention.lengths not in (None, "full") and self.strategy == "threshold":
            raise SettingsError("strategy=threshold takes retention.thresholds, not retention.lengths")
        _positive("retrain.lr", self.retrain.lr)
        if self.retrain.epochs < 0:
            raise SettingsError(
                f"retrain.epochs={self.retrain.epochs} must be at least 0 (0: shorten, do not re-train)"
            )


@dataclass(kw_only=True)
class BenchOptions:
    precisions: list[str] = key("precisions of timing: fp32, bf16, fp16, int8 (engine onnx)")
    models: list[str] = key(
        "plain (transformers' own), plain-cls (last layer for [CLS] only, nothing eliminated), shortened"
    )
    engines: list[str] = key(
        "how models are run: eager, compile (torch.compile, one graph for each batch size and length), onnx (ONNX "
        "Runtime), openvino; what is not installed or cannot run here is skipped, with the reason"
    )
    paddings: list[str] = key("padded to ℓ (max), to the batch's longest, length-sorted batches")
    batch_sizes: list[int] | None = key("examples in a batch, one table for each; null is batch_size")
    seq_lens: list[int] | None = key("in place of ℓ, one table for each; longer inputs are cut; null is ℓ")
    threads: list[int] | None = key("CPU threads, one table for each; null is runtime.threads")
    profile: bool = key("also time each part of each layer, plain and shortened (eager): profile.csv, profile.png")
    examples: int = key("dev examples that one round times")
    rounds: int = key("rounds; in each every contender runs once, in shuffled order")
    max_seconds: float = key("stop after this time if at least 3 rounds are done")

    def __post_init__(self) -> None:
        allowed = {"precisions": BENCH_PRECISIONS, "models": BENCH_MODELS, "engines": ENGINES, "paddings": PADDINGS}
        for name, values in allowed.items():
            given = getattr(self, name)
            if not given:
                raise SettingsError(f"bench.{name}=[] must name at least one of {', '.join(values)}")
            for value in given:
                _one_of(f"bench.{name}", value, values)
        for name in ("batch_sizes", "seq_lens", "threads"):
            for value in getattr(self, name) or ():
                _at_least_one(f"bench.{name}", value)
        if self.rounds < 3:
            raise SettingsError(f"bench.rounds={self.rounds} must be at least 3, so that an interval can be given")
        _at_least_one("bench.examples", self.examples)


@dataclass(kw_only=True)
class ShortenedSettings(RetrainSettings):
    """Of verbs that take a shortened model."""

    shortened: str | None = key("take this re-trained model directory instead of the pipeline's own")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortened and not (Path(self.shortened) / "retention.json").is_file():
            raise SettingsError(
                f"shortened={self.shortened} is no re-trained model directory (no retention.json in it); "
                "give the folder 'model' of a finished retrain run"
            )


@dataclass(kw_only=True)
class ExportOptions:
    int8: bool = key("also write model.int8.onnx: matrix products in int8, activations quantised as they come")


@dataclass(kw_only=True)
class ExportSettings(ShortenedSettings):
    export: ExportOptions = key("")


@dataclass(kw_only=True)
class BenchSettings(ShortenedSettings):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = BENCH_PRECISIONS

    bench: BenchOptions = key("")

    def __post_init__(self) -> None:
        super().__post_init__()
        for seq_len in self.bench.seq_lens or ():
            if seq_len > self.seq_len:
                raise SettingsError(f"bench.seq_lens={seq_len} exceeds seq_len={self.seq_len}")


@dataclass(kw_only=True)
class SweepSettings(BenchSettings):
    max_drop: float = key("loss of the metric (absolute) up to which a λ counts as within the baseline")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.max_drop < 1:
            raise SettingsError(f"max_drop={self.max_drop} must be in [0, 1)")


VERBS: dict[str, type[FinetuneSettings]] = {
    "finetune": FinetuneSettings,
    "search": SearchSettings,
    "retrain": RetrainSettings,
    "bench": BenchSettings,
    "sweep": SweepSettings,
    "export": ExportSettings,
}
