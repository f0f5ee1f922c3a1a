"""What a pass will keep, known beforehand: lengths alone decide, so nothing in the pass asks how many."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..method.elimination import Elimination


@dataclass(frozen=True)
class Step:
    """
    Attributes:
        starts: (B + 1,) int32, where the rows of each input begin that reach a layer.
        kept: (B + 1,) int32, where those begin that go on.
        first_only: only the first word-vector of each goes on.
    """

    starts: Tensor
    kept: Tensor
    first_only: bool = False

    @property
    def whole(self) -> bool:
        return not self.first_only and int(self.kept[-1]) == int(self.starts[-1])


def bounds(counts: Tensor) -> Tensor:
    """(B,) → (B + 1,) int32, where each begins and the last ends."""
    found = torch.zeros(len(counts) + 1, dtype=torch.int32)
    torch.cumsum(counts, 0, out=found[1:])
    return found


def steps(elimination: Elimination, sizes: Tensor, layers: int, ends_in_first: bool) -> list[Step]:
    """The steps of all layers.

    Args:
        elimination: absolute or relative.
        sizes: (B,) int64, word-vectors of each input.
        ends_in_first: of the last layer only the first word-vector of each input is read.
    """
    found, now, starts = [], sizes, bounds(sizes)
    for j in range(layers):
        first_only = ends_in_first and j == layers - 1
        if first_only:
            now = torch.ones_like(now)
        elif elimination.retention.drops(j, elimination.seq_len):
            counts = elimination.retention.counts(j, sizes, now)
            assert counts is not None
            now = counts
        kept = bounds(now)
        found.append(Step(starts, kept, first_only))
        starts = kept
    return found
