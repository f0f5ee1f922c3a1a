"""What an encoder should cost, from shapes alone: FLOPs, bytes, and the roofline time of a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..encoder.families import family_of_config


@dataclass(frozen=True)
class EncoderShape:
    """Sizes that decide the cost of an encoder: L layers, hidden D, feed-forward F.

    F is that of two matrices D × F; a gated feed-forward part counts as one and a half.

    Attributes:
        heads_for_first: H where a last layer for [CLS] alone does without keys and values of the others, as this
            encoder's does in inference; 0 where it cannot (rotary positions).
    """

    layers: int
    hidden: int
    feed_forward: float
    heads_for_first: int = 0

    @classmethod
    def of(cls, config: Any) -> "EncoderShape":
        family = family_of_config(config)
        heads = 0 if family.rotary else config.num_attention_heads
        return cls(family.layers(config), config.hidden_size, family.feed_forward(config), heads)


@dataclass(frozen=True)
class Cost:
    """Arithmetic (a multiplication and an addition count as two) and traffic with memory.

    Attributes:
        flops: operations.
        weights: numbers read once for a whole batch.
        activations: numbers read and written between the matrix products.
    """

    flops: float
    weights: float
    activations: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.weights + other.weights, self.activations + other.activations)


@dataclass(frozen=True)
class Peaks:
    """What a device reaches at best, in one precision and with some number of threads.

    Attributes:
        flops_per_s: of a large matrix product.
        bytes_per_s: read from memory.
    """

    flops_per_s: float
    bytes_per_s: float

    def seconds(self, cost: Cost, number_bytes: int) -> float:
        """Roofline time: the larger of compute and traffic, the other hidden behind it."""
        traffic = number_bytes * (cost.weights + cost.activations)
        return max(cost.flops / self.flops_per_s, traffic / self.bytes_per_s)


def layer_cost(
    shape: EncoderShape,
    batch: int,
    n: int,
    kept: int,
    *,
    merges: bool = False,
    first_only: bool = False,
    chosen_beforehand: bool = False,
) -> dict[str, Cost]:
    """The parts of one layer on a batch of inputs of n word-vectors each, of which `kept` go on.

    Query, key and value for all n; scores n × n; A·V, output projection and feed-forward for
    the kept ones only (with kept = n this is a plain layer). Norms, softmax and activation are
    left out, as are embeddings, pooler and classifier: together under 1% at BERT-base size.

    Args:
        merges: dropped word-vectors are merged: attention's output is needed for all n, and the
            similarity of each to the kept ones.
        first_only: nothing but [CLS] is needed: one query, and kept counts as 1.
        chosen_beforehand: positions alone decide what is kept (head, random): the dropped ones have no queries.

    Returns:
        project, attention (with the scores of significance), output, feed-forward.
    """
    d = shape.hidden
    queries, kept = (1, 1) if first_only else (kept if chosen_beforehand else n, kept)
    if first_only and shape.heads_for_first:
        # W_q, then (W_kᵀq)·x and Σ a·x for each head, then W_v
        attention = batch * (4 * d * d + 4 * n * shape.heads_for_first * d)
        return {
            "project": Cost(batch * 2 * d * d, d * d, batch * 2 * d),
            "attention": Cost(attention, 2 * d * d, batch * (2 * n + 2) * d),
            **_after_attention(shape, batch, 1, 1),
        }
    rows = n if merges else kept
    alike = 2 * n * kept * d if merges and kept < n else 0
    return {
        "project": Cost(batch * (2 * queries + 4 * n) * d * d, 3 * d * d, batch * (n + queries + 2 * n) * d),
        "attention": Cost(
            batch * (2 * queries * n * d + 2 * rows * n * d + alike), 0, batch * (queries + 2 * n + rows) * d
        ),
        **_after_attention(shape, batch, rows, kept),
    }


def _after_attention(shape: EncoderShape, batch: int, rows: int, kept: int) -> dict[str, Cost]:
    d, f = shape.hidden, shape.feed_forward
    return {
        "output": Cost(batch * 2 * rows * d * d, d * d, batch * 3 * rows * d),
        "feed-forward": Cost(batch * 4 * kept * d * f, 2 * d * f, batch * kept * (2 * d + 2 * f)),
    }


def scoring_pays(shape: EncoderShape, n: float, kept: float) -> bool:
    """Whether dropping n - kept of n word-vectors saves more FLOPs than significance costs as a pass of its own.

    A dropped one saves the output projection, the feed-forward part and the next layer's query, key and value; scores
    are n × n products of queries and keys.
    """
    d, f = shape.hidden, shape.feed_forward
    return (n - kept) * (8 * d * d + 4 * d * f) > 2 * n * n * d


def encoder_cost(
    shape: EncoderShape,
    batch: int,
    seq_len: int,
    lengths: Sequence[int] | None = None,
    *,
    merges: bool = False,
    first_only: bool = False,
    chosen_beforehand: bool = False,
) -> list[dict[str, Cost]]:
    """`layer_cost` of each layer, on a batch of inputs padded to `seq_len`.

    Args:
        lengths: word-vectors that leave each layer; None for a model that keeps all.
        first_only: the last layer answers for [CLS] only.
        merges, chosen_beforehand: see `layer_cost`.
    """
    costs, n = [], seq_len
    for j, keep in enumerate(lengths if lengths is not None else [seq_len] * shape.layers):
        kept = min(keep, n)
        last = first_only and j == shape.layers - 1
        costs.append(
            layer_cost(shape, batch, n, kept, merges=merges, first_only=last, chosen_beforehand=chosen_beforehand)
        )
        n = kept
    return costs


def together(parts: Sequence[list[dict[str, Cost]]]) -> list[dict[str, Cost]]:
    """Costs by layer and part of inputs that one batch answers together: its weights are read once."""
    return [
        {
            name: Cost(
                sum(layer[name].flops for layer in layers),
                max(layer[name].weights for layer in layers),
                sum(layer[name].activations for layer in layers),
            )
            for name in layers[0]
        }
        for layers in zip(*parts, strict=True)
    ]


def total(layer: dict[str, Cost]) -> Cost:
    """All parts of a layer together."""
    return sum(layer.values(), Cost(0, 0, 0))


def encoder_flops(shape: EncoderShape, seq_len: int, lengths: Sequence[int] | None = None, **how: bool) -> float:
    """FLOPs of all layers on one input padded to `seq_len`; see `encoder_cost`."""
    return sum(total(layer).flops for layer in encoder_cost(shape, 1, seq_len, lengths, **how))


def roofline_seconds(layers: Sequence[dict[str, Cost]], peaks: Peaks, number_bytes: int) -> float:
    """Sum of the layers' roofline times: what an engine without any loss would need."""
    return sum(peaks.seconds(total(layer), number_bytes) for layer in layers)
