"""The rows that go from layer to layer.

Legend: T rows, T' those that go on, B inputs, b inputs of a group, n word-vectors, K kept, H heads, D hidden, A
numbers of all heads together.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from ..method.elimination import Kept
from ..method.merge import proportional
from .block import Block
from .packing import Group, Packing
from .parts import part
from .restoring import Restoring


class Rows(NamedTuple):
    """What goes from layer to layer.

    Attributes:
        vectors: (T, D).
        packing: where they stand.
        positions: (T,) int64, places in the input; None where nothing asks for them.
        shield: (T,) bool, protected beyond the leading positions; None if none are.
        weights: (T,) float, how many word-vectors each stands for; None before any was merged.
        log_survival: (T,) ≤ 0, logarithm of how far each still survives (search of thresholds only).
        restoring: of a head that reads all, what it is given of those that were dropped; None of others.
        shares: (T,) in [0, 1], how far each is kept by a search that lets all go on; None elsewhere.
    """

    vectors: Tensor
    packing: Packing
    positions: Tensor | None = None
    shield: Tensor | None = None
    weights: Tensor | None = None
    log_survival: Tensor | None = None
    restoring: Restoring | None = None
    shares: Tensor | None = None

    def table(self, group: Group, values: Tensor | None) -> Tensor | None:
        """Something of each row (T, …) for a group's inputs: (b, n, …); None of nothing."""
        return None if values is None else group.table(self.packing.pad(values))

    def going_on(self, rows: Tensor, packing: Packing, vectors: Tensor) -> "Rows":
        """The rows (T',) that go on, with their new vectors (T', D)."""
        positions, shield, weights = (
            None if one is None else one.index_select(0, rows) for one in (self.positions, self.shield, self.weights)
        )
        restoring = None if self.restoring is None else self.restoring.dropping(self.vectors, rows)
        return Rows(vectors, packing, positions, shield, weights, restoring=restoring)


# Which word-vectors of a group go on, None for all; its scores (b, n) are computed if they are asked for.
Pick = Callable[[Group, Callable[[], Tensor]], Kept | None]


def keep_all(group: Group, scores: Callable[[], Tensor]) -> None:
    """The pick of a layer that drops nothing."""


def bias_of(block: Block, rows: Rows, group: Group) -> Tensor | None:
    """Added to the scaled scores: by positions, how far keys survive and how many they stand for; None for nothing."""
    positions = rows.table(group, rows.positions)
    bias = None if positions is None else block.bias(positions)
    survival, weights = rows.table(group, rows.log_survival), rows.table(group, rows.weights)
    for of_keys in (survival, None if weights is None else proportional(weights)):
        if of_keys is not None:
            own = of_keys[:, None, None, :].to(rows.vectors.dtype)
            bias = own if bias is None else bias + own
    return bias


def of_queries(bias: Tensor | None, index: Tensor) -> Tensor | None:
    """A bias (b or 1, H or 1, n or 1, n) for the queries at `index` (b, K) only."""
    if bias is None or bias.shape[2] == 1:  # the same for all queries
        return bias
    rows = index[:, None, :, None].expand(-1, bias.shape[1], -1, bias.shape[-1])
    return bias.expand(index.shape[0], -1, -1, -1).gather(2, rows)


def go_on(block: Block, rows: Rows, kept: Sequence[Kept], context: Tensor, training: bool) -> Rows:
    """The rest of the attention half for the kept word-vectors, whose context is given as `rows_of` gives rows."""
    with part("select"):
        at, after, (context,) = taken_of(rows, kept, block.heads, context)
    with part("output"):
        vectors = block.join(context, rows.vectors.index_select(0, at), training)
    return rows.going_on(at, after, vectors)


def taken_of(
    rows: Rows, kept: Sequence[Kept], heads: int, *given: Tensor
) -> tuple[Tensor, Packing, tuple[Tensor, ...]]:
    """The rows (T',) that go on and their packing; and of what is given as `rows_of` gives rows, theirs."""
    after, taken = rows.packing.after(kept, heads, rows.vectors.device)
    at = rows.packing.rows_of(kept)
    if taken is None:
        return at, after, given
    return at.index_select(0, taken), after, tuple(one.index_select(0, taken) for one in given)
