"""What a retention configuration costs on the data's real lengths, as a share of the plain model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..bench.cost import EncoderShape, layer_cost, total
from ..method.elimination import Elimination


class Budget(ABC):
    """The cost of configurations for inputs of given lengths, each without padding, as in length-sorted batches.

    Args:
        lengths: word-vectors of each input.
        layers: L.
        ends_in_first: the shortened model's last layer answers for [CLS] only.
    """

    def __init__(self, lengths: Sequence[int], layers: int, ends_in_first: bool) -> None:
        sizes, counts = np.unique(np.asarray(lengths), return_counts=True)
        self.sizes = torch.from_numpy(sizes).double()  # (U,)
        self.weights = torch.from_numpy(counts).double()
        self.layers, self.ends_in_first = layers, ends_in_first
        everything = self.sizes.unsqueeze(-1).expand(-1, layers)
        self._plain = self._cost(everything, first_only=False)

    @abstractmethod
    def layer(self, j: int, n: Tensor, kept: Tensor, first_only: bool) -> Tensor:
        """The cost of layer j (0-based) for an input of n word-vectors of which `kept` go on.

        Both are (U,), real-valued; so is the cost.
        """

    def share(self, kept: Tensor) -> Tensor:
        """Cost over the plain model's, a scalar with gradient.

        Args:
            kept: (U, L), word-vectors that leave each layer, for each of `sizes`.
        """
        return self._cost(kept, self.ends_in_first) / self._plain

    def share_of(self, elimination: Elimination) -> float:
        """Of a configuration, exactly."""
        kept = torch.tensor([elimination.kept(int(n)) for n in self.sizes], dtype=torch.float64)
        return float(self.share(kept))

    def share_of_masses(self, masses: Tensor, elimination: Elimination) -> Tensor:
        """Of mass_1 … mass_L (L,) in the middle of a search, with gradient."""
        return self.share(self._kept(masses.double().cpu().cummin(dim=0).values, elimination))

    def prices(self, masses: Tensor, elimination: Elimination) -> Tensor:
        """What a word-vector more would cost in each layer, all else as it is: (L,) → (L,), adding up to 1.

        Not the gradient of `share_of_masses`: there a layer that keeps more than the one before it costs
        nothing, so the first layer that falls would bear the price of all after it, and they none.
        """
        at = masses.detach().double().cpu()
        if not elimination.relative:  # what no input is long enough for costs nothing
            at = at.clamp(max=float(self.sizes[-1]) * (1 - 1e-6))
        at.requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(self.share(self._kept(at, elimination)), at)
        found = found.clamp(min=0)  # times are noisy
        return found / found.sum().clamp(min=1e-30)

    def _kept(self, masses: Tensor, elimination: Elimination) -> Tensor:
        """(L,) → (U, L), real-valued."""
        n = self.sizes.unsqueeze(-1)
        kept = n * masses / elimination.seq_len if elimination.relative else torch.minimum(n, masses)
        return kept.clamp(min=1)

    def _cost(self, kept: Tensor, first_only: bool) -> Tensor:
        n, cost = self.sizes, torch.zeros_like(self.sizes)
        for j in range(self.layers):
            cost = cost + self.layer(j, n, kept[:, j], first_only and j == self.layers - 1)
            n = kept[:, j]
        return (self.weights * cost).sum()


class FlopsBudget(Budget):
    """In FLOPs, see `bench.cost.layer_cost`.

    Args:
        whole: of the model that shares are of; None for the same.
    """

    def __init__(
        self,
        shape: EncoderShape,
        lengths: Sequence[int],
        ends_in_first: bool = True,
        merges: bool = False,
        chosen_beforehand: bool = False,
        whole: EncoderShape | None = None,
    ) -> None:
        self.shape, self.how = shape, {"merges": merges, "chosen_beforehand": chosen_beforehand}
        super().__init__(lengths, len(shape), ends_in_first)
        if whole is not None:
            self._plain = FlopsBudget(whole, lengths)._plain

    def layer(self, j: int, n: Tensor, kept: Tensor, first_only: bool) -> Tensor:
        cost = layer_cost(self.shape[j], 1, n, kept, first_only=first_only, **self.how)  # type: ignore[arg-type]
        return torch.as_tensor(total(cost).flops)


class LatencyTable:
    """How long a layer takes on this device, see `measure_latency`.

    Args:
        grid: (G,) ascending numbers of word-vectors.
        seconds: (G, G), `seconds[a, b]` of a layer that receives grid[a] word-vectors and lets
            grid[b] of them go on, b ≤ a.
        plain: (G,), of a plain layer.
        first: (G,), of a layer that answers for [CLS] only.
    """

    def __init__(self, grid: Sequence[int], seconds: Tensor, plain: Tensor, first: Tensor) -> None:
        self.grid = torch.tensor(grid, dtype=torch.float64)
        # above the diagonal nothing can be measured; repeating the diagonal lets cells beside it be interpolated
        diagonal = seconds.double().diagonal()
        upper = torch.triu(torch.ones_like(seconds, dtype=torch.bool), 1)
        self.seconds = torch.where(upper, diagonal.unsqueeze(-1), seconds.double())
        self.plain, self.first = plain.double(), first.double()

    def of(self, n: Tensor, kept: Tensor, first_only: bool) -> Tensor:
        """Seconds for an input of n word-vectors of which `kept` go on, both (U,) → (U,)."""
        row, beyond = self._place(n)
        if first_only:
            return self._between(self.first[row], self.first[row + 1], beyond)
        column, further = self._place(kept)
        low = self._between(self.seconds[row, column], self.seconds[row, column + 1], further)
        high = self._between(self.seconds[row + 1, column], self.seconds[row + 1, column + 1], further)
        shortened = self._between(low, high, beyond)
        plain = self._between(self.plain[row], self.plain[row + 1], beyond)
        return torch.where(kept >= n, plain, shortened)  # a layer that keeps all scores nothing

    def _place(self, n: Tensor) -> tuple[Tensor, Tensor]:
        """The grid's number below each n, and how far beyond it n is, in [0, 1] of the way to the next."""
        below = (torch.searchsorted(self.grid, n.detach().contiguous(), right=True) - 1).clamp(0, len(self.grid) - 2)
        start, end = self.grid[below], self.grid[below + 1]
        return below, ((n - start) / (end - start)).clamp(0, 1)

    @staticmethod
    def _between(low: Tensor, high: Tensor, how_far: Tensor) -> Tensor:
        return low + how_far * (high - low)


class LatencyBudget(Budget):
    """In seconds, by tables that were measured on this device.

    Args:
        tables: of each layer.
        whole: of each layer of the model that shares are of; None for the same.
    """

    def __init__(
        self,
        tables: Sequence[LatencyTable],
        lengths: Sequence[int],
        ends_in_first: bool = True,
        whole: Sequence[LatencyTable] | None = None,
    ) -> None:
        self.tables = tables
        super().__init__(lengths, len(tables), ends_in_first)
        if whole is not None:
            self._plain = LatencyBudget(whole, lengths)._plain

    def layer(self, j: int, n: Tensor, kept: Tensor, first_only: bool) -> Tensor:
        return self.tables[j].of(n, kept, first_only)
