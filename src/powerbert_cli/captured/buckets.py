"""Sizes of buffers: batches of about one size share a bucket, and so a recorded pass.

Legend: B inputs, T_j rows that reach layer j + 1 (T_0 those that begin), ℓ_j and f_j of the retention configuration.
"""

from dataclasses import dataclass

from torch import Tensor

from ..method.elimination import Elimination
from ..method.retention import Fractions, Thresholds, quota

# Sizes an octave. More of them waste less of a buffer, and need more graphs: rows decide how long products take.
_ROW_STEPS, _INPUT_STEPS = 8, 4
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

    def holds(self, other: "Bucket") -> bool:
        """Whether all batches of another bucket fit into this one."""
        pairs = (*zip(self.capacities, other.capacities, strict=True), *zip(self.longest, other.longest, strict=True))
        return self.inputs >= other.inputs and all(own >= needed for own, needed in pairs)


def stepped(n: int, steps: int) -> int:
    """The next of a few sizes, so many of them an octave, a power of 2."""
    step = 1 << max(0, (n - 1).bit_length() - steps.bit_length())
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
    inputs = stepped(len(sizes), _INPUT_STEPS)
    longest = min(elimination.seq_len, stepped(int(sizes.max()), 1))  # a kernel's blocks are powers of 2
    rows = min(_in_tiles(stepped(int(sizes.sum()), _ROW_STEPS)), _in_tiles(inputs * longest))
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
