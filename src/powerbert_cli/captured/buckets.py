"""Sizes of buffers: batches of about one size share a bucket, and so a recorded pass.

Legend: B inputs, T_j rows that reach layer j + 1 (T_0 those that begin), ℓ_j and f_j of the retention configuration.
"""

from dataclasses import dataclass

from torch import Tensor

from ..method.elimination import Elimination
from ..method.retention import Fractions, Thresholds, quota

_STEPS = 8  # sizes an octave: buffers are by a sixteenth larger than needed, on average
_ROWS = 64  # of which matrix products take tiles


@dataclass(frozen=True)
class Bucket:
    """Batches of up to so many inputs, word-vectors of each, and rows.

    Attributes:
        capacities: (T_0, …, T_L) of the buffers.
        longest: the most word-vectors of an input that reach each layer, and that leave the last, L + 1 numbers.
    """

    inputs: int
    capacities: tuple[int, ...]
    longest: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.capacities[0]

    def holds(self, bounds: Tensor) -> bool:
        """Whether rows that begin so, (L + 1, B + 1) or (1, B + 1), fit."""
        return all(int(own[-1]) <= room for own, room in zip(bounds, self.capacities, strict=False))


def stepped(n: int) -> int:
    """The next of a few sizes, `_STEPS` of them an octave."""
    step = 1 << max(0, (n - 1).bit_length() - _STEPS.bit_length())
    return -(-n // step) * step


def _in_tiles(rows: int) -> int:
    return -(-rows // _ROWS) * _ROWS


def bucket_of(
    elimination: Elimination, sizes: Tensor, layers: int, ends_in_first: bool, shares: tuple[float, ...] | None = None
) -> Bucket:
    """The bucket of inputs of these sizes.

    A relative configuration leaves at most ⌈f_j·T_0⌉ + B rows, an absolute one min(T_(j-1), B·ℓ_j).

    Args:
        sizes: (B,) int64 on the CPU.
        shares: of the rows, how many reach each layer of thresholds, and leave the last; see `Shares`.
    """
    inputs = stepped(len(sizes))
    longest = min(elimination.seq_len, stepped(int(sizes.max())))
    rows = min(_in_tiles(stepped(int(sizes.sum()))), _in_tiles(inputs * longest))
    retention, room, most = elimination.retention, [rows], [longest]
    for j in range(layers):
        if ends_in_first and j == layers - 1:
            room.append(inputs)
            most.append(1)
            continue
        if isinstance(retention, Thresholds):
            left, own = quota(shares[j + 1], rows) + inputs if shares else rows, longest
        elif isinstance(retention, Fractions):
            left, own = quota(retention.values[j], rows) + inputs, quota(retention.values[j], longest)
        else:
            own = min(retention.values[j], longest)
            left = inputs * own
        room.append(min(room[-1], _in_tiles(left)))
        most.append(min(most[-1], own))
    return Bucket(inputs, tuple(room), tuple(most))
