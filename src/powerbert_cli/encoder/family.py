"""What is known of a model family, and of the heads on its encoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from .answered import (
    answer_choices,
    answer_loss,
    class_choices,
    classification_loss,
    no_loss,
    tag_choices,
    tag_loss,
)
from .block import Block
from .pooling import pooling_of

Embed = Callable[[Any, Tensor, Tensor | None, Tensor | None], Tensor]
Logits = Callable[[Any, Tensor, Tensor | None], Tensor]
Loss = Callable[[Tensor, Tensor, Any], Tensor]
Choices = Callable[[Tensor, Tensor | None], Tensor]
Reads = Literal["first", "mean", "all"]
CLASSIFIES, CHOOSES = "ForSequenceClassification", "ForMultipleChoice"
TAGS, ANSWERS, EMBEDS = "ForTokenClassification", "ForQuestionAnswering", "ForEmbedding"
SEES, HEARS, SPELLS = "ForImageClassification", "ForAudioClassification", "ForCTC"
PURPOSES = (CLASSIFIES, CHOOSES, TAGS, ANSWERS, EMBEDS, SEES, HEARS, SPELLS)
WORDS, PICTURES, SOUND = "input_ids", "pixel_values", "input_values"  # what models are called with


class UnsupportedModelError(ValueError):
    """A model of a family that is not known here, or that does more than its family's layers in a row."""


@dataclass(frozen=True)
class Head:
    """How a host answers from its last hidden states.

    Attributes:
        logits: (host, hidden (B, K, D) with [CLS] at 0, their mask (B, K) or None) → (B, C), or of a head that reads
            all (B, K, C); of a multiple choice (B, 1).
        reads: config → what it reads: the `first` word-vector ([CLS]), the `mean` of those that are left, or `all`: of
            the dropped ones their states when they were dropped.
        loss: (logits, labels, config) → the mean over examples.
        averages: of all it takes the mean, so that word-vectors may also be put together.
        choices: (logits, which word-pieces count (B, N) or None) → (M, C), the choices between classes that it makes.
    """

    logits: Logits
    reads: Callable[[Any], Reads]
    loss: Loss = classification_loss
    choices: Choices = class_choices
    averages: bool = False


@dataclass(frozen=True)
class Signal:
    """How a family takes inputs that are no word-pieces: pictures, sound.

    Attributes:
        name: what its models call them.
        embed: (host, values (B, …), which of them are no padding, or None) → word-vectors (B, N, D), and which of those
            are none (B, N), bool or None.
        sizes: (config, values, mask) → (B,) int64, the word-vectors of each input.
        unit: what a word-vector stands for, in words.
        leading: how many word-vectors come before the first of these.
    """

    name: str
    embed: Callable[[Any, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
    sizes: Callable[[Any, Tensor, Tensor | None], Tensor]
    unit: str
    leading: int = 0


def reads_first(config: Any) -> Reads:
    return "first"


def reads_all(config: Any) -> Reads:
    return "all"


@dataclass(frozen=True)
class Family:
    """How the shortened encoder drives a host model of one family.

    Attributes:
        embed: (host, input_ids (B, N), token_type_ids or None, rows (B, N) of the position embeddings or None for those
            that the host takes) → (B, N, D). None of models of other inputs.
        blocks: host → one view for each encoder layer.
        heads: by transformers' name of what a host is for.
        layers: config → L.
        neurons_key: what its config calls the number of feed-forward neurons.
        pairs: of feed-forward matrices; a gated part has one and a half.
        whole: why its heads and feed-forward neurons cannot be removed layer by layer; None if they can.
        stack: host → its list of layers; None where layers are one, run several times.
        cuts: config → whether layers can be removed.
        rotary: keys are turned by position, so that none can do without.
        position_offset: config → rows of the position embeddings that no input uses.
        positions: config → rows of the position embeddings.
        signal: how it takes pictures or sound; None of models of texts.
    """

    embed: Embed | None
    blocks: Callable[[Any], tuple[Block, ...]]
    heads: Mapping[str, Head]
    layers: Callable[[Any], int] = lambda config: config.num_hidden_layers
    neurons_key: str = "intermediate_size"
    pairs: float = 1.0
    position_offset: Callable[[Any], int] = lambda config: 0
    whole: str | None = None
    stack: Callable[[Any], nn.ModuleList] | None = None
    cuts: Callable[[Any], bool] = lambda config: True
    rotary: bool = False
    positions: Callable[[Any], int] = lambda config: int(config.max_position_embeddings)
    signal: Signal | None = None

    @property
    def takes(self) -> str:
        """What its models call their input."""
        return WORDS if self.signal is None else self.signal.name

    def feed_forward(self, config: Any) -> float:
        """F of a block with two feed-forward matrices of the same cost."""
        return self.pairs * float(getattr(config, self.neurons_key))


def after_padding(config: Any) -> int:
    """These families count positions from padding_idx + 1."""
    return config.pad_token_id + 1


def sequence_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(hidden)


def token_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.dropout(hidden))


def answer_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Logits of an answer's start and end, (B, K, 2)."""
    return host.qa_outputs(hidden)


def embed_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The texts' vectors, (B, D)."""
    return pooling_of(host.config)(hidden, mask)


def embed_reads(config: Any) -> Reads:
    return pooling_of(config).reads


def heads(
    classify: Logits,
    choose: Logits,
    answer: Logits = answer_head,
    tag: Logits = token_head,
    embed: Logits = embed_head,
    classify_reads: Callable[[Any], Reads] = reads_first,
    choose_reads: Callable[[Any], Reads] = reads_first,
) -> dict[str, Head]:
    """A family's, by name."""
    return {
        CLASSIFIES: Head(classify, classify_reads),
        CHOOSES: Head(choose, choose_reads),
        TAGS: Head(tag, reads_all, tag_loss, tag_choices),
        ANSWERS: Head(answer, reads_all, answer_loss, answer_choices),
        EMBEDS: Head(embed, embed_reads, no_loss, averages=True),
    }
