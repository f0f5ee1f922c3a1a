"""Settings of the verbs that take a shortened model: bench, export, sweep."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .finetune import PRECISIONS
from .folders import model_folder
from .retrain import RetrainSettings
from .rules import SettingsError, at_least_one, key, one_of
from .task import ModelSettings

PADDINGS = ("max", "longest", "sorted", "packed")
ENGINES = ("eager", "compile", "onnx", "openvino", "ctranslate2")
BENCH_PRECISIONS = (*PRECISIONS, "int8")
ENGINE_PRECISIONS = {"onnx": ("fp32", "int8"), "openvino": ("fp32", "bf16", "int8")}  # of those that load files
FORMATS, EMBEDDINGS = ("engine", "packed"), ("int8", "fp32")
BENCH_MODELS = ("plain", "full", "shortened")
_EARLIER = {"plain-cls": "full"}  # names that are still understood


@dataclass(kw_only=True)
class BenchOptions:
    precisions: list[str] = key("precisions of timing: fp32, bf16, fp16, int8 (not in compile)")
    models: list[str] = key("plain (transformers' own), full (this encoder with everything kept), shortened")
    engines: list[str] = key(
        "how models are run: eager, compile (torch.compile, one graph for each batch size and length), onnx (ONNX "
        "Runtime), openvino, ctranslate2 (plain models only; removes padding by itself); what is not installed or "
        "cannot run here is skipped, with the reason"
    )
    paddings: list[str] = key(
        "batches padded to ℓ (max), to their longest, or length-sorted; packed: in the order of arrival, full and "
        "shortened only (not compile) and ctranslate2, against transformers' length-sorted ones"
    )
    batch_sizes: list[int] | None = key("examples in a batch, one table for each; null is batch_size")
    seq_lens: list[int] | None = key("in place of ℓ, one table for each; longer inputs are cut; null is ℓ")
    threads: list[int] | None = key("CPU threads, one table for each; null is runtime.threads")
    profile: bool = key("also time each part of each layer, plain and shortened (eager): profile.csv, profile.png")
    examples: int = key("dev examples that one round times, drawn with seed")
    accuracy: Any = key(
        "also measure the dev metric of each model, engine and precision, and the share of answers that differ from "
        "float32's: auto (of all but fp32), true (of all) or false; never of weights that are not trained"
    )
    rounds: int = key("rounds; in each every contender runs once, in shuffled order; at least 3")
    max_seconds: float = key(
        "time for warm-up, rounds and answers of all tables; rounds stop then, but for the first 5; contenders that "
        "these leave no time for are left out and named; the fastest plain and shortened ones are always timed"
    )

    def __post_init__(self) -> None:
        self.models = [_EARLIER.get(name, name) for name in self.models]
        if self.accuracy not in ("auto", True, False):
            raise SettingsError(f"bench.accuracy={self.accuracy} is none of auto, true, false")
        allowed = {"precisions": BENCH_PRECISIONS, "models": BENCH_MODELS, "engines": ENGINES, "paddings": PADDINGS}
        for name, values in allowed.items():
            given = getattr(self, name)
            if not given:
                raise SettingsError(f"bench.{name}=[] must name at least one of {', '.join(values)}")
            for value in given:
                one_of(f"bench.{name}", value, values)
        if self.paddings == ["packed"] and "plain" in self.models:
            raise SettingsError(
                "bench.paddings=[packed]: packed rows stand against transformers' model in other batches; add sorted"
            )
        if "int8" in self.precisions and self.engines == ["compile"]:
            raise SettingsError("bench.precisions: int8 does not run in engine compile; add eager, onnx or openvino")
        for name in ("batch_sizes", "seq_lens", "threads"):
            for value in getattr(self, name) or ():
                at_least_one(f"bench.{name}", value)
        if self.rounds < 3:
            raise SettingsError(f"bench.rounds={self.rounds} must be at least 3, so that an interval can be given")
        at_least_one("bench.examples", self.examples)
        if not self.max_seconds >= 0:
            raise SettingsError(f"bench.max_seconds={self.max_seconds} must be a number of seconds, 0 or more")


@dataclass(kw_only=True)
class ShortenedSettings(RetrainSettings):
    """Of verbs that take a shortened model."""

    shortened: str | None = key(
        "take this re-trained model instead of the pipeline's own: RUN/model, or a name on the hub"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortened:
            self.shortened_dir  # noqa: B018  (checks it)
        if self.shortened and (self.compress.given or self.compress.quantises):
            raise SettingsError(
                f"shortened={self.shortened} is a finished model, compress.* is for one that this command makes; give "
                "one of them"
            )

    @property
    def shortened_dir(self) -> Path:
        """Where the shortened model is: a folder, or the hub's in the cache."""
        assert self.shortened is not None
        way_out = "give the folder 'model' of a finished retrain run"
        return model_folder("shortened", self.shortened, "retention.json", way_out)

    @property
    def start_model(self) -> ModelSettings:
        return self.model.of_folder("shortened", self.shortened) if self.shortened else super().start_model


@dataclass(kw_only=True)
class ExportSettings(ShortenedSettings):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")

    format: str = key(
        "engine: what an inference engine loads; packed: weights as bits, which powerbert loads (smaller, no faster)"
    )
    engine: str = key(
        "what loads it: onnx (ONNX Runtime: model.onnx; fp32, int8) or openvino (openvino_model.xml; fp32, bf16, int8)"
    )
    embeddings: str = key("format=packed: int8 (a scale for each row) or fp32")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("format", self.format, FORMATS)
        one_of("embeddings", self.embeddings, EMBEDDINGS)
        if self.format == "packed" and self.precision != "fp32":
            raise SettingsError(
                f"precision={self.precision} is of format=engine; a packed file has the bits of compress.bits"
            )
        one_of("engine", self.engine, tuple(ENGINE_PRECISIONS))
        if self.precision not in ENGINE_PRECISIONS[self.engine]:
            raise SettingsError(
                f"precision={self.precision}: engine={self.engine} has {', '.join(ENGINE_PRECISIONS[self.engine])}"
            )


@dataclass(kw_only=True)
class BenchSettings(ShortenedSettings):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = BENCH_PRECISIONS

    bench: BenchOptions = key("")
    max_drop: float = key(
        "loss of the metric (absolute) up to which a result counts as within the baseline, and the answers of an "
        "engine or precision as those of float32"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.max_drop < 1:
            raise SettingsError(f"max_drop={self.max_drop} must be in [0, 1)")
        for seq_len in self.bench.seq_lens or ():
            if seq_len > self.seq_len:
                raise SettingsError(f"bench.seq_lens={seq_len} exceeds seq_len={self.seq_len}")


@dataclass(kw_only=True)
class SweepSettings(BenchSettings):
    curve: str | None = key(
        "in the sweep's table and picture, the curve that a job is a point of; null: the method, or what is removed"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortened:
            raise SettingsError(f"shortened={self.shortened}: a sweep shortens models of its own; time this with bench")
