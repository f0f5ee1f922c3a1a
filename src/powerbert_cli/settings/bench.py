"""Settings of timing."""

from dataclasses import dataclass
from typing import Any

from .common import PRECISIONS
from .rules import Part, SettingsError, at_least_one, key, one_of

PADDINGS = ("max", "longest", "sorted", "buckets", "packed")
ENGINES = ("eager", "compile", "native", "captured", "onnx", "openvino", "ctranslate2")
OWN_ENGINES = ("native", "captured")  # powerbert's
CALIBRATED = ("native", "openvino")  # engines whose int8 needs scales from training texts
BENCH_PRECISIONS = (*PRECISIONS, "int8")
ENGINE_PRECISIONS = {  # of those that load files
    "native": ("fp32", "bf16", "int8"),
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
    "ctranslate2": ("fp32", "bf16", "int8"),
}
# Word-pieces of a batch from which on dropping some should pay on a GPU, at BERT-base size: what two more kernels a
# layer cost against the products that are saved. Worked out, not measured.
GPU_PAYS_FROM = 1500
BENCH_MODELS = ("plain", "full", "shortened")
_EARLIER = {"plain-cls": "full"}  # names that are still understood


def runs_on(engine: str, device: str) -> bool:
    """Whether there is such an engine on cpu or cuda, whatever the model."""
    return engine in ("eager", "compile") or (engine == "captured") == (device == "cuda")


@dataclass(kw_only=True)
class BenchOptions:
    precisions: list[str] = key("precisions of timing: fp32, bf16, fp16, int8", " (not in compile)", common=True)
    models: list[str] = key("plain (transformers' own), full (this encoder with everything kept), shortened")
    engines: list[str] = key(
        "how models are run: eager, compile, native, captured, onnx, openvino, ctranslate2",
        "; compile: torch.compile, one graph for each batch size and length; native: powerbert's own kernels for a "
        "CPU, in fp32, bf16 and int8, which need g++ or clang++ at installation or first use; captured: powerbert's "
        "own kernels for a GPU, a pass recorded as one CUDA graph, in bf16 and fp16; onnx: ONNX Runtime; ctranslate2: "
        "plain models only; native, captured and ctranslate2 remove padding by themselves; what is not installed or "
        "cannot run here is skipped, with the reason",
        common=True,
    )
    paddings: list[str] = key(
        "padding: max (to ℓ), longest, sorted, buckets, packed",
        "; longest of the batch; sorted: of like lengths; buckets: sorted and padded to one of a few lengths, for each "
        "of which openvino compiles the model; packed: in the order of arrival, full and shortened (not compile), "
        "native, captured and ctranslate2, against transformers' length-sorted ones",
        common=True,
    )
    batch_sizes: list[int] | None = key("examples in a batch, one table for each; null is batch_size", common=True)
    seq_lens: list[int] | None = key("in place of ℓ, one table for each; longer inputs are cut; null is ℓ")
    threads: list[int] | None = key("CPU threads, one table for each; null is runtime.threads", common=True)
    profile: bool = key("also time each part of each layer, plain and shortened (eager): profile.csv, profile.png")
    max_drop: float = key(
        "loss of the metric up to which a result counts as within the baseline",
        " (absolute), and the answers of an engine or precision as those of float32",
        common=True,
    )
    examples: int = key("dev examples that one round times, drawn with seed")
    accuracy: Any = key(
        "also measure the dev metric of each model, engine and precision, and the share of answers that differ from "
        "float32's: auto (of all but fp32), true (of all) or false; never of weights that are not trained"
    )
    rounds: int = key("rounds; in each every contender runs once, in shuffled order; at least 3")
    max_seconds: float = key(
        "time for warm-up, rounds and answers of all tables",
        "; rounds stop then, but for the first 5; contenders that these leave no time for are left out and named; the "
        "fastest plain and shortened ones are always timed",
        common=True,
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
        run = [name for name in self.paddings if name != "buckets" or "openvino" in self.engines]
        if not run:
            raise SettingsError("bench.paddings=[buckets]: only engine openvino runs these; add sorted, or that engine")
        if run == ["packed"] and "plain" in self.models:
            raise SettingsError(
                "bench.paddings=[packed]: packed rows stand against transformers' model in other batches; add sorted"
            )
        if "int8" in self.precisions and {*self.engines} <= {"compile", "captured"}:
            raise SettingsError(
                "bench.precisions: engines compile and captured have no int8; add eager, native, onnx or openvino"
            )
        for name in ("batch_sizes", "seq_lens", "threads"):
            for value in getattr(self, name) or ():
                at_least_one(f"bench.{name}", value)
        if self.rounds < 3:
            raise SettingsError(f"bench.rounds={self.rounds} must be at least 3, so that an interval can be given")
        at_least_one("bench.examples", self.examples)
        if not 0 <= self.max_drop < 1:
            raise SettingsError(f"bench.max_drop={self.max_drop} must be in [0, 1)")
        if not self.max_seconds >= 0:
            raise SettingsError(f"bench.max_seconds={self.max_seconds} must be a number of seconds, 0 or more")


@dataclass(kw_only=True)
class Benching(Part):
    bench: BenchOptions = key("")

    def check_lengths(self, longest: int) -> None:
        """Raises a SettingsError where inputs would be longer than ℓ."""
        for seq_len in self.bench.seq_lens or ():
            if seq_len > longest:
                raise SettingsError(f"bench.seq_lens={seq_len} exceeds seq_len={longest}")
