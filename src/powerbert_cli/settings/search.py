"""Settings of a search, and of the re-training that its trials have."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..method.names import BY_ATTENTION, KINDS
from ..method.names import STRATEGIES as ALL
from .compress import CompressOptions, FlopsTarget
from .rules import Part, SettingsError, at_least_one, fraction, key, one_of, positive
from .task import TaskSettings
from .training import StageSettings

STRATEGIES = tuple(name for name in ALL if name != "none")  # which is retention=full
REGULARIZERS = ("loss", "decoupled")
SEARCHERS = ("soft", "calibrate", "evolutionary")
WORD_VECTOR_COSTS = ("index", "flops", "latency")
JUDGES = ("logits", "significance")
PATIENT_LAYERS = ("skip", "last")


@dataclass(kw_only=True)
class RetentionKind:
    kind: str = key("absolute: so many word-vectors in each layer; relative: a share of an input's", common=True)
    bins: int = key("relative: retention parameters of a layer, each for a part of the relative ranks", research=True)

    def __post_init__(self) -> None:
        one_of("retention.kind", self.kind, KINDS)
        at_least_one("research.retention.bins", self.bins)


@dataclass(kw_only=True)
class Retention(Part):
    """Of a verb that searches a configuration, and is given none."""

    retention: RetentionKind = key("")

    @property
    def kind(self) -> str:
        return self.retention.kind


@dataclass(kw_only=True)
class TargetSettings(FlopsTarget):
    """What a search shall reach, in place of a λ."""

    speedup: float | None = key(
        "times as fast as transformers' model, measured on this device, e.g. 3",
        ", in length-sorted batches; what elimination alone brings of it stands in target.json",
        common=True,
    )
    max_drop: float | None = key("largest loss of the metric on dev, e.g. 0.01", " (absolute, paired)", common=True)
    confidence: float = key("max_drop: share of paired bootstrap resamples that must stay within it")
    trials: int = key("max_drop: searches, each re-trained, that bisection may take")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("flops", "speedup", "max_drop") if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(f'target.{name}' for name in given)} are given; give one of them")
        if self.speedup is not None and not self.speedup > 1:
            raise SettingsError(f"target.speedup={self.speedup} must be above 1 (1 is the plain model)")
        if self.max_drop is not None and not 0 <= self.max_drop < 1:
            raise SettingsError(f"target.max_drop={self.max_drop} must be at least 0 and below 1")
        if not 0 < self.confidence < 1:
            raise SettingsError(f"target.confidence={self.confidence} must be above 0 and below 1")
        at_least_one("target.trials", self.trials)

    @property
    def given(self) -> bool:
        return bool(self.asked())

    @property
    def text(self) -> str:
        """The one that a single search has, as it was given."""
        name = "flops" if self.speedup is None else "speedup"
        return f"target.{name}={getattr(self, name):g}"

    def decides(self) -> dict[str, float]:
        """What of it decides a result."""
        return self.asked() if self.given else {}

    def asked(self) -> dict[str, float]:
        """What was given, with what bears on it."""
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        if self.max_drop is None:
            del asked["confidence"], asked["trials"]
        return asked


@dataclass(kw_only=True)
class CalibrateSettings:
    examples: int = key("unlabelled training examples that a configuration is judged on")
    by: str = key(
        "logits: how far they move from the plain model's (Kullback-Leibler divergence); significance: how much of it "
        "is dropped (one pass, seconds)",
        research=True,
    )

    def __post_init__(self) -> None:
        at_least_one("calibrate.examples", self.examples)
        one_of("research.calibrate.by", self.by, JUDGES)


@dataclass(kw_only=True)
class EvolutionarySettings:
    population: int = key("configurations in a generation")
    generations: int = key("generations")

    def __post_init__(self) -> None:
        at_least_one("research.evolutionary.generations", self.generations)
        if self.population < 4:
            raise SettingsError(f"research.evolutionary.population={self.population} must be at least 4")


@dataclass(kw_only=True)
class RetrainStage(StageSettings):
    """Re-training, and what can be added to it; each is off by default."""

    distill: float = key(
        "weight of the fine-tuned model's logits as soft labels", "; 1 leaves the labels out", common=True
    )
    temperature: float = key("distill: both models' logits are divided by it")
    distill_cls: float = key(
        "weight of the mean squared distance to the fine-tuned model's last [CLS] vector", research=True
    )
    patient: float = key(
        "weight of the mean squared distance of each layer's [CLS] vector to one of the fine-tuned model's (BERT-PKD)",
        research=True,
    )
    patient_layers: str = key(
        "patient: which of its layers, below the last: skip (at equal steps) or last", research=True
    )
    patient_norm: bool = key("patient: vectors are divided by their length first", research=True)
    gradual: float = key("share of the steps in which the configuration shrinks from full to its own", research=True)
    train_once: bool = key(
        "each batch is trained at full length, at the configuration, and at one drawn between them, so that one model "
        "serves many budgets (searcher=evolutionary finds them)",
        research=True,
    )

    def __post_init__(self) -> None:
        fraction("retrain.distill", self.distill)
        positive("retrain.temperature", self.temperature)
        fraction("research.retrain.gradual", self.gradual)
        if not (math.isfinite(self.distill_cls) and self.distill_cls >= 0):
            raise SettingsError(f"research.retrain.distill_cls={self.distill_cls} must be a number ≥ 0")
        if not (math.isfinite(self.patient) and self.patient >= 0):
            raise SettingsError(f"research.retrain.patient={self.patient} must be a number ≥ 0")
        one_of("research.retrain.patient_layers", self.patient_layers, PATIENT_LAYERS)
        if self.gradual and self.train_once:
            raise SettingsError("research.retrain.gradual and research.retrain.train_once are given; give one of them")
        if self.epochs < 0:
            raise SettingsError(f"retrain.epochs={self.epochs} must be at least 0 (0: shorten, do not re-train)")
        positive("retrain.lr", self.lr)

    @property
    def distills(self) -> bool:
        return self.distill > 0 or self.distill_cls > 0 or self.patient > 0

    def decides(self) -> dict[str, Any]:
        """What of it decides a result: options that are off are left out."""
        decides = {name: value for name, value in asdict(self).items() if value}
        if not self.distill:
            del decides["temperature"]
        if self.patient:
            decides["patient_norm"] = self.patient_norm
        else:
            del decides["patient_layers"]
            decides.pop("patient_norm", None)
        return {**decides, "epochs": self.epochs}

    def plain(self) -> "RetrainStage":
        """The same length of training for the plain model: on the labels alone."""
        return replace(self, distill=0.0, distill_cls=0.0, patient=0.0, gradual=0.0, train_once=False)


@dataclass(kw_only=True)
class Searching(Part):
    regularizer_weight: float = key(
        "weight λ of the regulariser: the more, the fewer word-vectors", ", Σ_j j · mass_j", common=True
    )
    lr_soft: float = key("learning rate of the retention parameters; auto fits it to the number of steps")
    strategy: str = key("word-vector selection: " + ", ".join(STRATEGIES))
    protect_separators: bool = key("never eliminate separators ([SEP]); [CLS] never is")
    protect_first: bool = key(
        "of a pair of texts eliminate the first one, e.g. a question, only where a layer keeps fewer word-vectors"
    )
    regularizer: str = key(
        "loss: λ Σ_j j · mass_j in the loss, as in the paper; decoupled: the same shrink apart from Adam, "
        "so that λ keeps its meaning",
        research=True,
    )
    word_vector_cost: str = key(
        "what a word-vector of layer j weighs in the regulariser: its index j, as in the paper; flops: what it costs; "
        "latency: by a table of this device",
        research=True,
    )
    searcher: str = key(
        "soft: soft-extract layers, trained; calibrate: nothing is trained (needs a target)",
        "; evolutionary: an evolutionary search, nothing trained, for a model of research.retrain.train_once",
        common=True,
    )
    search: StageSettings = key("")
    target: TargetSettings = key("")
    calibrate: CalibrateSettings = key("")
    evolutionary: EvolutionarySettings = key("", research=True)
    retrain: RetrainStage = key("")

    def verify(self) -> None:
        if not (math.isfinite(self.regularizer_weight) and self.regularizer_weight >= 0):
            raise SettingsError(f"lambda={self.regularizer_weight} must be a number ≥ 0, for example lambda=3e-4")
        positive("lr_soft", self.lr_soft)
        one_of("strategy", self.strategy, STRATEGIES)
        one_of("research.regularizer", self.regularizer, REGULARIZERS)
        positive("search.lr", self.search.lr)
        at_least_one("search.epochs", self.search.epochs)
        one_of("research.word_vector_cost", self.word_vector_cost, WORD_VECTOR_COSTS)
        one_of("searcher", self.searcher, SEARCHERS)
        if self.searcher != "soft" and not self.target.given:
            raise SettingsError(
                f"searcher={self.searcher} needs a target in place of λ: target.flops=0.33, target.speedup=3 or "
                "target.max_drop=0.01"
            )
        if self.strategy == "threshold":
            self._check_threshold()

    def _check_threshold(self) -> None:
        if self.kind == "relative":
            raise SettingsError("strategy=threshold has no retention.kind=relative; thresholds are relative already")
        if self.target.given or self.searcher != "soft" or self.word_vector_cost != "index":
            raise SettingsError(
                "strategy=threshold is searched with λ alone: no target, searcher or research.word_vector_cost"
            )
        if self.retrain.gradual or self.retrain.train_once:
            raise SettingsError(
                "strategy=threshold takes neither research.retrain.gradual nor research.retrain.train_once"
            )

    @property
    def kind(self) -> str:
        """Of the retention configuration."""
        raise NotImplementedError

    @property
    def keeps_word_vectors(self) -> bool:
        """Whether none is eliminated."""
        return False

    @property
    def share_to_reach(self) -> float | None:
        return self.target.flops if self.keeps_word_vectors else None

    def check_merging(self, task: TaskSettings) -> None:
        """Raises a SettingsError where word-vectors would be put together whose states are all asked for."""
        if self.strategy == "merge" and not self.keeps_word_vectors and not task.of_kind.MERGES:
            raise SettingsError(
                f"strategy=merge puts dropped word-vectors into others, task.kind={task.kind} reads each by itself; "
                "set strategy=attention"
            )

    def check_stack(self, compress: CompressOptions) -> None:
        """Raises a SettingsError where the target is meant for what is removed, and word-vectors would reach it."""
        by = compress.by
        if by is not None and getattr(compress, by) is None and self.target.flops and not self.keeps_word_vectors:
            left = "6" if by == "layers" else "0.6"
            raise SettingsError(
                f"target.flops={self.target.flops:g} is reached by word-vectors here, and compress.by={by} has nothing "
                f"to reach: set retention=full, or say how much is left, for example compress.{by}={left}"
            )

    @property
    def ranks_by_attention(self) -> bool:
        return self.strategy in BY_ATTENTION and not self.keeps_word_vectors

    @property
    def times_this_machine(self) -> bool:
        return self.target.speedup is not None or self.word_vector_cost == "latency"
