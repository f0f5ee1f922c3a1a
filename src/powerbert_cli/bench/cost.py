"""What an encoder should cost, from shapes alone: FLOPs, bytes, and the roofline time of a device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..encoder.families import family_of, family_of_config


@dataclass(frozen=True)
class LayerShape:
    """Sizes that decide the cost of a layer.

    Attributes:
        hidden: D.
        attended: A, of all heads together: H times the size of a head. D where no head was removed.
        feed_forward: F, of two matrices D × F; a gated feed-forward part counts as one and a half.
        heads_for_first: H where a last layer for [CLS] alone does without keys and values of the others, as this
            encoder's does in inference; 0 where it cannot (rotary positions).
    """

    hidden: int
    attended: float
    feed_forward: float
    heads_for_first: int = 0


EncoderShape = tuple[LayerShape, ...]  # from the first layer to the last


def shape_of_config(config: Any) -> EncoderShape:
    """Of a model from which neither heads nor neurons of single layers were removed."""
    family = family_of_config(config)
    heads = 0 if family.rotary else config.num_attention_heads
    layer = LayerShape(config.hidden_size, config.hidden_size, family.feed_forward(config), heads)
    return (layer,) * family.layers(config)


def shape_of(host: Any) -> EncoderShape:
    """Of a host as it is."""
    family = family_of(host)
    return tuple(
        replace(
            layer,
            attended=block.heads * block.head_size,
            feed_forward=family.pairs * block.neurons,
            heads_for_first=min(layer.heads_for_first, block.heads),
        )
        for layer, block in zip(shape_of_config(host.config), family.blocks(host), strict=True)
    )


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
        read_bytes, cache_bytes: size of the tensor that was read, and of the last-level cache; None where not known.
    """

    flops_per_s: float
    bytes_per_s: float
    read_bytes: int | None = None
    cache_bytes: int | None = None

    def seconds(self, cost: Cost, number_bytes: int) -> float:
        """Roofline time: the larger of compute and traffic, the other hidden behind it."""
        traffic = number_bytes * (cost.weights + cost.activations)
        return max(cost.flops / self.flops_per_s, traffic / self.bytes_per_s)


def layer_cost(
    shape: LayerShape,
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
    d, a = shape.hidden, shape.attended
    queries, kept = (1, 1) if first_only else (kept if chosen_beforehand else n, kept)
    if first_only and shape.heads_for_first:
        # W_q, then (W_kᵀq)·x and Σ a·x for each head, then W_v
        attention = batch * (4 * d * a + 4 * n * shape.heads_for_first * d)
        return {
            "project": Cost(batch * 2 * d * a, d * a, batch * (d + a)),
            "attention": Cost(attention, 2 * d * a, batch * (2 * n * d + 2 * a)),
            **_after_attention(shape, batch, 1, 1),
        }
    merges = merges and kept < n and not first_only
    rows, alike = (n, 2 * n * kept * d) if merges else (kept, 0)
    return {
        "project": Cost(batch * (2 * queries + 4 * n) * d * a, 3 * d * a, batch * (n * d + (queries + 2 * n) * a)),
        "attention": Cost(
            batch * (2 * queries * n * a + 2 * rows * n * a + alike), 0, batch * (queries + 2 * n + rows) * a
        ),
        **_after_attention(shape, batch, rows, kept),
    }


def _after_attention(shape: LayerShape, batch: int, rows: int, kept: int) -> dict[str, Cost]:
    d, a, f = shape.hidden, shape.attended, shape.feed_forward
    return {
        "output": Cost(batch * 2 * rows * d * a, d * a, batch * rows * (2 * d + a)),
        "feed-forward": Cost(batch * 4 * kept * d * f, 2 * d * f, batch * kept * (2 * d + 2 * f)),
    }


def scoring_pays(shape: EncoderShape, j: int, n: float, kept: float) -> bool:
    """Whether dropping n - kept of n word-vectors in layer j saves more FLOPs than significance costs by itself.

    A dropped one saves the output projection, the feed-forward part and the next layer's query, key and value; scores
    are n × n products of queries and keys. The last layer counts as if one like it followed.
    """
    own, after = shape[j], shape[min(j + 1, len(shape) - 1)]
    saved = 2 * own.hidden * own.attended + 4 * own.hidden * own.feed_forward + 6 * after.hidden * after.attended
    return (n - kept) * saved > 2 * n * n * own.attended


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
    for j, keep in enumerate(lengths if lengths is not None else [seq_len] * len(shape)):
        kept = min(keep, n)
        last = first_only and j == len(shape) - 1
        costs.append(
            layer_cost(shape[j], batch, n, kept, merges=merges, first_only=last, chosen_beforehand=chosen_beforehand)
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
