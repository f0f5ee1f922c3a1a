"""Settings of what is removed of the fine-tuned model before word-vectors are eliminated, and of its bits."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..method.names import BITS
from .rules import Part, SettingsError, at_least_one, key, one_of, positive

SCORES = ("variance", "r2d2", "magnitude", "taylor")
TUNES = ("refit", "scale", "none")
TAKES = ("even", "first")
STOPS = ("steps", "signed", "magnitude")
WIDTHS = ("uniform", "layer")
AXES = ("ffn", "heads", "layers")
SUMS = ("code", "paper")
SPARSE = "2:4"
SCALES = ("tensor", "channel")


@dataclass(kw_only=True)
class BitsOptions:
    """Of the encoder's linear layers, trained with (Deep Compression)."""

    bits: int | None = key("of the weights, in re-training: 8, 4 or 2; null: 32")
    act_bits: int | None = key("of what these layers are given: 8, 4 or 2; null: 32")
    sparsity: str | None = key("2:4: of four neighbours along the inputs the two largest weights; null: none")
    scales: str = key("of the weights' levels: tensor (one for each layer, as published) or channel (for each output)")
    lr_clips: float = key("act_bits: learning rate of the clips between which inputs lie", research=True)

    def check(self) -> None:
        """Raises a SettingsError."""
        for name in ("bits", "act_bits"):
            value = getattr(self, name)
            if value is not None:
                one_of(f"compress.{name}", str(value), tuple(map(str, BITS)))
        if self.sparsity not in (None, SPARSE):
            raise SettingsError(
                f"compress.sparsity={self.sparsity} must be 2:4 or null; in a YAML file put it into quotes, '2:4'"
            )
        one_of("compress.scales", self.scales, SCALES)
        positive("research.compress.lr_clips", self.lr_clips)

    @property
    def quantises(self) -> bool:
        """Whether re-training has other weights or inputs than those in 32 bits."""
        return any(value is not None for value in (self.bits, self.act_bits, self.sparsity))

    def decides_bits(self) -> dict[str, Any]:
        """What of it decides a re-training: what is off is left out."""
        used = {"bits": self.bits, "act_bits": self.act_bits, "sparsity": self.sparsity}
        if self.bits is not None:
            used["scales"] = self.scales  # type: ignore[assignment]
        if self.act_bits is not None:
            used["lr_clips"] = self.lr_clips  # type: ignore[assignment]
        return {name: value for name, value in used.items() if value is not None}


@dataclass(kw_only=True)
class CompressOptions(BitsOptions):
    layers: int | None = key(
        "layers to keep; null keeps all", ". Train what is left: without training it knows little", common=True
    )
    take: str = key("which layers: even (from the first to the last, at equal steps), or first")
    heads: float | None = key(
        "share of the attention heads to keep; null keeps all", "; the best of all layers stay, by labels", common=True
    )
    head_score: str = key(
        "what a head's gradient is summed to: code (the absolute value of each word-piece, as Head-Prune's program) or "
        "paper (of each input's sum, as printed)",
        research=True,
    )
    rounds: int = key("heads: in so many rounds, with gradients anew before each", research=True)
    least_heads: int = key("heads that each layer keeps; a layer without any cannot eliminate word-vectors")
    ffn: float | None = key(
        "share of the feed-forward neurons to keep; null keeps all",
        "; auto: weighed against word-vectors",
        common=True,
    )
    # target.flops, where what `by` names reaches it, see `reaching`
    flops: float | None = field(default=None, metadata={"omegaconf_ignore": True})
    by: str | None = key(
        "what target.flops is reached by where all word-vectors are kept: ffn, heads or layers; null: ffn"
    )
    widths: str = key(
        "uniform: each layer keeps as many neurons, so that any program loads the model really smaller; layer: the "
        "best of all layers, which plain transformers loads filled up with zeros"
    )
    score: str = key(
        "which neurons stay: variance (of the activation; what the others give on average goes into the bias), r2d2 "
        "(KCM), magnitude (of what a neuron writes), taylor (what the loss would change by; reads labels)"
    )
    tune: str = key(
        "the output weights of the neurons that stay: refit (least squares on unlabelled texts), scale (Kwon et al.), "
        "none"
    )
    steps: int = key("r2d2: steps of R2", research=True)
    stop: str = key(
        "r2d2: when R2 ends: after steps, or by the printed rule (signed), or by its size (magnitude)", research=True
    )
    examples: int = key("training texts that scores and tuning see; labels only for heads and taylor")

    def __post_init__(self) -> None:
        self.check()
        one_of("compress.by", self.reached_by, AXES)
        for name in ("heads", "ffn"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise SettingsError(f"compress.{name}={value} must be above 0 and below 1 (1 is the whole model)")
        at_least_one("compress.layers", self.layers)
        one_of("compress.take", self.take, TAKES)
        one_of("compress.score", self.score, SCORES)
        one_of("compress.tune", self.tune, TUNES)
        one_of("research.compress.stop", self.stop, STOPS)
        one_of("compress.widths", self.widths, WIDTHS)
        one_of("research.compress.head_score", self.head_score, SUMS)
        at_least_one("research.compress.rounds", self.rounds)
        if self.least_heads < 0:
            raise SettingsError(f"compress.least_heads={self.least_heads} must be at least 0")
        at_least_one("research.compress.steps", self.steps)
        at_least_one("compress.examples", self.examples)

    @property
    def reached_by(self) -> str:
        """What reaches a share of the FLOPs."""
        return self.by or "ffn"

    @property
    def given(self) -> bool:
        """Whether anything is removed."""
        return self.cuts or self.narrows or self.removes_heads

    @property
    def cuts(self) -> bool:
        """Whether layers are removed."""
        return self.layers is not None or (self.flops is not None and self.reached_by == "layers")

    @property
    def narrows(self) -> bool:
        """Whether feed-forward neurons are removed, which reads texts."""
        return self.ffn is not None or (self.flops is not None and self.reached_by == "ffn")

    @property
    def removes_heads(self) -> bool:
        """Whether attention heads are removed, which reads texts and labels."""
        return self.heads is not None or (self.flops is not None and self.reached_by == "heads")

    @property
    def axes(self) -> list[str]:
        """What is removed: layers, heads, ffn; and bits, where not all of the linear layers have 32."""
        given = {"layers": self.cuts, "heads": self.removes_heads, "ffn": self.narrows, "bits": self.quantises}
        return [name for name, removed in given.items() if removed]

    @property
    def reads_texts(self) -> bool:
        return self.narrows or self.removes_heads

    @property
    def reads_labels(self) -> bool:
        return self.removes_heads or (self.narrows and self.score == "taylor")

    def reaching(self, flops: float | None) -> "CompressOptions":
        """The same with a share of the FLOPs for what `by` names; None: with what is given for each.

        A number of layers, which methods bring along, gives way to the share.

        Raises:
            SettingsError: how many heads or neurons are left is given too.
        """
        if flops is None:
            return replace(self, flops=None)
        if self.reached_by == "layers":
            return replace(self, flops=flops, layers=None)
        if getattr(self, self.reached_by) is not None:
            raise SettingsError(f"compress.{self.reached_by} and target.flops are given; give one of them")
        return replace(self, flops=flops)

    def decides(self) -> dict[str, Any]:
        """What of it decides the model that is left: what is off is left out."""
        bits = {field.name for field in fields(BitsOptions)}
        used = {name: value for name, value in asdict(self).items() if value is not None and name not in bits}
        off = {
            ("take",): not self.cuts,
            ("head_score", "rounds", "least_heads"): not self.removes_heads,
            ("score", "tune"): not self.narrows,
            ("steps", "stop"): not self.narrows or self.score != "r2d2",
            ("examples",): not (self.narrows or self.removes_heads),
            ("widths",): not self.narrows or self.widths == "uniform",
            ("by",): self.flops is None or self.reached_by == "ffn",
        }
        left_out = {name for names, without in off.items() if without for name in names}
        return {name: value for name, value in used.items() if name not in left_out}


@dataclass(kw_only=True)
class FlopsTarget:
    """What is to be reached, in place of saying how much of what is removed."""

    flops: float | None = key(
        "share of the plain model's FLOPs to reach, e.g. 0.5",
        ", on the data's real lengths; by word-vectors, or by what compress.by names where all of these are kept "
        "(retention=full, and in powerbert compress)",
        common=True,
    )

    def __post_init__(self) -> None:
        if self.flops is not None and not 0 < self.flops < 1:
            raise SettingsError(f"target.flops={self.flops} must be above 0 and below 1 (1 is the plain model)")


@dataclass(kw_only=True)
class Compressing(Part):
    compress: CompressOptions = key("")

    def verify(self) -> None:
        self.compress = self.compress.reaching(self.share_to_reach)

    @property
    def share_to_reach(self) -> float | None:
        """The share of the FLOPs that what is removed has to reach; None where it has none of its own."""
        return None

    @property
    def ranks_by_attention(self) -> bool:
        """Whether word-vectors will be eliminated by what attention says."""
        return False

    @property
    def removes(self) -> bool:
        return self.compress.given

    @property
    def quantises(self) -> bool:
        return self.compress.quantises
