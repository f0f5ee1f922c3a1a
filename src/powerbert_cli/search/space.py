"""Retention configurations as shares of a length, and how to bring one to a budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..method.elimination import Elimination
from ..method.retention import Fractions, Lengths, Retention, quota
from .budget import Budget

Shares = tuple[float, ...]


def unreachable(target: float, least: float) -> str:
    """What to say of a target below the least cost."""
    return (
        f"a share of {target:.3g} of the plain model's cost cannot be reached: with nothing but [CLS] kept it is "
        f"{least:.3g}"
    )


@dataclass(frozen=True)
class Space:
    """The configurations of one kind for one model.

    Attributes:
        open: how word-vectors are chosen, its configuration still open.
        budget: what a configuration costs.
        longest: word-vectors of the longest input; an absolute configuration's lengths are shares of it.
    """

    open: Elimination
    budget: Budget
    longest: int

    def elimination(self, shares: Sequence[float]) -> Elimination:
        """The configuration that keeps these shares, in (0, 1]; later ones count as at most the earlier ones."""
        falling: list[float] = []
        for share in shares:
            falling.append(round(min(max(share, 1e-4), *falling[-1:], 1.0), 4))
        if self.open.relative:
            found: Retention = Fractions(tuple(falling))
        else:
            lengths = (quota(share, self.longest) if share < 1 else self.open.seq_len for share in falling)
            found = Lengths(tuple(lengths))
        return replace(self.open, retention=found).checked(len(falling))

    def cost(self, shares: Sequence[float]) -> float:
        """Share of the plain model's cost."""
        return self.budget.share_of(self.elimination(shares))

    def fitted(self, shares: Sequence[float], target: float) -> Shares:
        """The shares, each raised to one power, so that the cost comes as near to the target as it can from below.

        Shares of 1 stay 1 as long as the target can be reached with them; the order of the layers is kept.

        Raises:
            ValueError: if the target is below what keeping nothing but [CLS] costs.
        """
        shares = [max(share, 1e-4) for share in shares]
        if self.cost([share if share == 1 else 1e-4 for share in shares]) > target:
            shares = [min(share, 0.9999) for share in shares]
        low, high = 0.0, 1.0  # powers: the cost falls from `low` to `high`
        while self.cost([share**high for share in shares]) > target:
            low, high = high, 2 * high
            if high > 1e6:
                least = self.cost([1e-4] * len(shares))
                raise ValueError(unreachable(target, least))
        for _ in range(40):
            middle = (low + high) / 2
            if self.cost([share**middle for share in shares]) > target:
                low = middle
            else:
                high = middle
        return tuple(share**high for share in shares)

    def shares_of(self, elimination: Elimination) -> Shares:
        """The shares of a configuration of this space."""
        values = elimination.retention.values
        return values if elimination.relative else tuple(min(1.0, length / self.longest) for length in values)
