"""FLOPs of one batch, from shapes alone (a multiplication and an addition count as two)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EncoderShape:
    """Sizes that decide the FLOPs of an encoder: L layers, hidden D, feed-forward F."""

    layers: int
    hidden: int
    feed_forward: int

    @classmethod
    def of(cls, config: Any) -> "EncoderShape":
        return cls(config.num_hidden_layers, config.hidden_size, config.intermediate_size)


def layer_flops(shape: EncoderShape, n: int, kept: int) -> int:
    """One layer on one input of n word-vectors of which `kept` go on.

    Query, key and value for all n; scores n × n; A·V, output projection and feed-forward for
    the kept ones only (with kept = n this is a plain layer). Norms, softmax and activation are
    left out, as are embeddings, pooler and classifier: together under 1% at BERT-base size.
    """
    d, f = shape.hidden, shape.feed_forward
    return 6 * n * d * d + 2 * n * n * d + 2 * kept * n * d + 2 * kept * d * d + 4 * kept * d * f


def encoder_flops(shape: EncoderShape, seq_len: int, lengths: Sequence[int] | None = None) -> int:
    """All layers on one input padded to `seq_len`.

    Args:
        lengths: the retention configuration; None for the plain model.
    """
    total, n = 0, seq_len
    for keep in lengths if lengths is not None else [seq_len] * shape.layers:
        kept = min(keep, n)
        total += layer_flops(shape, n, kept)
        n = kept
    return total
