"""FLOPs of one input, from shapes alone (a multiplication and an addition count as two)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..encoder.families import family_of_config


@dataclass(frozen=True)
class EncoderShape:
    """Sizes that decide the FLOPs of an encoder: L layers, hidden D, feed-forward F.

    F is that of two matrices D × F; a gated feed-forward part counts as one and a half.
    """

    layers: int
    hidden: int
    feed_forward: float

    @classmethod
    def of(cls, config: Any) -> "EncoderShape":
        family = family_of_config(config)
        return cls(family.layers(config), config.hidden_size, family.feed_forward(config))


def layer_flops(shape: EncoderShape, n: int, kept: int, merges: bool = False) -> float:
    """One layer on one input of n word-vectors of which `kept` go on.

    Query, key and value for all n; scores n × n; A·V, output projection and feed-forward for
    the kept ones only (with kept = n this is a plain layer). Norms, softmax and activation are
    left out, as are embeddings, pooler and classifier: together under 1% at BERT-base size.

    Args:
        merges: dropped word-vectors are merged: attention's output is needed for all n, and the
            similarity of each to the kept ones.
    """
    d, f = shape.hidden, shape.feed_forward
    rows = n if merges else kept
    alike = 2 * n * kept * d if merges and kept < n else 0
    return 6 * n * d * d + 2 * n * n * d + 2 * rows * n * d + 2 * rows * d * d + alike + 4 * kept * d * f


def encoder_flops(
    shape: EncoderShape, seq_len: int, lengths: Sequence[int] | None = None, merges: bool = False
) -> float:
    """All layers on one input padded to `seq_len`.

    Args:
        lengths: word-vectors that leave each layer; None for the plain model.
        merges: see `layer_flops`.
    """
    total, n = 0.0, seq_len
    for keep in lengths if lengths is not None else [seq_len] * shape.layers:
        kept = min(keep, n)
        total += layer_flops(shape, n, kept, merges)
        n = kept
    return total
