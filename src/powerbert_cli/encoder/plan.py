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


def bounds_of_layers(elimination: Elimination, sizes: Tensor, layers: int, ends_in_first: bool) -> Tensor:
    """Where the rows of each input begin, and the last ones end: those that reach each layer, and that leave the last.

    Args:
        elimination: absolute or relative.
        sizes: (B,) int64 on the CPU, word-vectors of each input.
        ends_in_first: of the last layer only the first word-vector of each input is read.

    Returns:
        (L + 1, B + 1) int32.
    """
    counts = torch.zeros(layers + 1, len(sizes) + 1, dtype=torch.int64)
    counts[0, 1:], counts[1:, 1:] = sizes, elimination.retention.counts_of_layers(sizes)
    if ends_in_first:
        counts[layers, 1:] = 1
    return counts.cumsum(1, dtype=torch.int32)


def steps(elimination: Elimination, sizes: Tensor, layers: int, ends_in_first: bool) -> list[Step]:
    """The steps of all layers; see `bounds_of_layers`."""
    bounds = bounds_of_layers(elimination, sizes, layers, ends_in_first).unbind()
    return [Step(bounds[j], bounds[j + 1], ends_in_first and j == layers - 1) for j in range(layers)]
