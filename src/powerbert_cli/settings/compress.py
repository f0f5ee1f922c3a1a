"""Settings of what is removed of the fine-tuned model before word-vectors are eliminated."""

from dataclasses import asdict, dataclass
from typing import Any

from .finetune import FinetuneSettings
from .rules import SettingsError, at_least_one, key, one_of

SCORES = ("variance", "r2d2", "magnitude")
TUNES = ("refit", "scale", "none")
TAKES = ("even", "first")
STOPS = ("steps", "signed", "magnitude")


@dataclass(kw_only=True)
class CompressOptions:
    layers: int | None = key("layers to keep; null keeps all. Train what is left: without training it knows little")
    take: str = key("which layers: even (from the first to the last, at equal steps), or first")
    ffn: float | None = key("share of the feed-forward neurons to keep, the same number in each layer; null keeps all")
    flops: float | None = key("in place of ffn: share of the plain model's FLOPs on the data's real lengths, e.g. 0.6")
    score: str = key(
        "which neurons stay: variance (of the activation; what the others give on average goes into the bias), r2d2 "
        "(KCM), magnitude (of what a neuron writes)"
    )
    tune: str = key(
        "the output weights of the neurons that stay: refit (least squares on unlabelled texts), scale (Kwon et al.), "
        "none"
    )
    steps: int = key("r2d2: steps of R2")
    stop: str = key("r2d2: when R2 ends: after steps, or by the printed rule (signed), or by its size (magnitude)")
    examples: int = key("unlabelled training texts that scores and tuning see")

    def __post_init__(self) -> None:
        if self.ffn is not None and self.flops is not None:
            raise SettingsError("compress.ffn and compress.flops are given; give one of them")
        for name in ("ffn", "flops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise SettingsError(f"compress.{name}={value} must be above 0 and below 1 (1 is the whole model)")
        at_least_one("compress.layers", self.layers)
        one_of("compress.take", self.take, TAKES)
        one_of("compress.score", self.score, SCORES)
        one_of("compress.tune", self.tune, TUNES)
        one_of("compress.stop", self.stop, STOPS)
        at_least_one("compress.steps", self.steps)
        at_least_one("compress.examples", self.examples)

    @property
    def given(self) -> bool:
        """Whether anything is removed."""
        return self.layers is not None or self.narrows

    @property
    def narrows(self) -> bool:
        """Whether feed-forward neurons are removed, which reads texts."""
        return self.ffn is not None or self.flops is not None

    def decides(self) -> dict[str, Any]:
        """What of it decides a result."""
        used = asdict(self)
        if self.layers is None:
            del used["take"]
        if not self.narrows:
            return {name: value for name, value in used.items() if name in ("layers", "take")}
        if self.score != "r2d2":
            del used["steps"], used["stop"]
        return {name: value for name, value in used.items() if value is not None}


@dataclass(kw_only=True)
class CompressSettings(FinetuneSettings):
    compress: CompressOptions = key("")
