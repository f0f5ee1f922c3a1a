"""The encoders of the search: every word-vector goes on, scaled by what its layer learns to keep."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..method import soft_extract
from ..method.elimination import Elimination
from ..method.selection import significance_order
from ..method.significance import normalise
from ..method.soft_threshold import GONE, TEMPERATURE, log_threshold_factors, protect, temperature_at
from .block import Block
from .driven import EliminationModel
from .packing import Group
from .rows import Rows

_RUNNING = 1024  # inputs of the running mean of a threshold search's masses


class SearchModel(EliminationModel):
    """What all models of the search have: parameters that say how much each layer keeps.

    `retention_parameters` has one row for each layer. With their first values the model
    equals its host.
    """

    retention_parameters: nn.Parameter

    @abstractmethod
    def masses(self) -> Tensor:
        """mass_j: how many word-vectors layer j keeps, (L,), with gradient."""

    @abstractmethod
    def shrink_(self, amounts: Tensor) -> None:
        """Lets layer j keep less by amounts[j] in its parameters' own units, in place (decoupled regulariser)."""

    @abstractmethod
    def clip_(self) -> None:
        """Brings the parameters back into their range, in place."""

    def advance(self, progress: float) -> None:
        """Told how far the search is, in [0, 1], before each step and at the end."""

    def start(self, *given: Any, **options: Any) -> Rows:
        """Of a head that reads all the table of states begins as the embeddings: see `Restoring.mixed`."""
        rows = super().start(*given, **options)
        if rows.restoring is None:
            return rows
        return rows._replace(restoring=rows.restoring._replace(table=rows.vectors))


class SoftExtractModel(SearchModel):
    """Soft-extract layers (section 3.3): `retention_parameters` (L, ℓ) scale by rank.

    Args:
        shield: hold the parameters of protected ranks at 1; the authors' code does not.
        bins: M of a relative retention: its parameters are (L, M), each for an M-th of the
            relative ranks, so that they serve inputs of all lengths.
    """

    def __init__(self, host: PreTrainedModel, elimination: Elimination, shield: bool = True, bins: int = 64) -> None:
        super().__init__(host, elimination)
        self.shielded = elimination.protected if shield else 0
        self.ends_in_first = self.ends_in_first and self.shielded > 0  # else [CLS] is scaled in the last layer too
        ranks = bins if elimination.relative else self.seq_len
        self.retention_parameters = nn.Parameter(soft_extract.initial_parameters(self.layers, ranks))

    def attention_half(self, j: int, block: Block, rows: Rows) -> Rows:
        r = self.retention_parameters[j]

        def factors(group: Group, scores: Tensor) -> Tensor:
            shield = rows.table(group, rows.shield) if self.shielded else None
            order = significance_order(scores, group.mask, self.shielded, shield)
            if not self.elimination.relative:
                return soft_extract.factors_by_rank(r, order)
            sizes = rows.packing.sizes.begun[group.inputs].to(r.device)
            return soft_extract.factors_by_relative_rank(r, order, sizes, self.shielded)

        after, found = self.attend_and_score(block, rows, factors)
        return after._replace(vectors=after.vectors * found.unsqueeze(-1).to(after.vectors.dtype), shares=found)

    def masses(self) -> Tensor:
        """Of an input of ℓ word-vectors, so that λ weighs alike in both kinds of retention."""
        ranks = self.retention_parameters.shape[1]
        return soft_extract.masses(self.retention_parameters) * (self.seq_len / ranks)

    @torch.no_grad()
    def shrink_(self, amounts: Tensor) -> None:
        soft_extract.shrink_(self.retention_parameters, amounts)

    def clip_(self) -> None:
        soft_extract.clip_(self.retention_parameters.data, 0 if self.elimination.relative else self.shielded)


class SoftThresholdModel(SearchModel):
    """Soft thresholds: `retention_parameters` (L, 1) are the negated thresholds -θ_j.

    In each layer a word-vector survives to the degree that a steep sigmoid of its significance, over the mean of
    those that survive, less θ_j says. What it lost it never regains: the layers above weigh it, as a key, as a
    query of significance and in that mean, by the product of its factors so far. The sigmoid grows steeper in the
    course of the search: in the limit this is the hard model, whose word-vectors compete with the survivors only.

    mass_j is how many word-vectors of an input survive layer j: the share that does of the last inputs of the
    training, times the mean length of all so far (batches of like length come in no random order).

    Attributes:
        counts: of the last batch, the mean of each layer, with gradient.
    """

    _shares: Tensor
    _length: Tensor
    _inputs: Tensor

    def __init__(self, host: PreTrainedModel, elimination: Elimination, temperature: float = TEMPERATURE) -> None:
        super().__init__(host, elimination)
        self.retention_parameters = nn.Parameter(torch.zeros(self.layers, 1))
        self.ends_in_first = False  # the mass of the last layer is measured on all its word-vectors
        self.temperature = temperature
        self.counts: list[Tensor] = []
        # part of a checkpoint, so that a search that goes on has the same masses
        self.register_buffer("_shares", torch.ones(self.layers))
        self.register_buffer("_length", torch.tensor(float(self.seq_len)))
        self.register_buffer("_inputs", torch.zeros(()))

    def _encode(
        self, rows: Rows, seen: Callable[[Rows], None] | None = None, whole: bool = False, first: int = 0
    ) -> Rows:
        self.counts = []
        survival = rows.vectors.new_zeros(len(rows.vectors), dtype=torch.float32)
        rows = super()._encode(rows._replace(log_survival=survival), seen, first=first)
        if self.training:
            self._average(rows.packing.sizes.now.float())
        return rows

    def _whole(self, rows: Rows) -> tuple[Tensor, Tensor | None]:
        """A head that averages over word-vectors weighs them by how far they survive."""
        vectors, mask = super()._whole(rows)
        if rows.restoring is not None:
            return vectors, mask
        assert rows.log_survival is not None
        survival = rows.packing.whole(rows.log_survival)[0].exp()
        return vectors, survival if mask is None else survival * mask

    def attention_half(self, j: int, block: Block, rows: Rows) -> Rows:
        left: list[Tensor] = []

        def log_survival(group: Group, scores: Tensor) -> Tensor:
            before, shield = rows.table(group, rows.log_survival), rows.table(group, rows.shield)
            assert before is not None
            real = 1.0 if group.mask is None else group.mask
            normalised = normalise(scores, before.detach().exp() * real)
            factors = log_threshold_factors(normalised, -self.retention_parameters[j], self.temperature)
            after = (before + protect(factors, self.elimination.protected, shield)).clamp(min=GONE)
            left.append((after.exp() * real).sum())
            return after

        rows, after = self.attend_and_score(block, rows, log_survival)
        self.counts.append(torch.stack(left).sum() / len(rows.packing.sizes.now))
        return rows._replace(log_survival=after, shares=after.exp())

    def advance(self, progress: float) -> None:
        self.temperature = temperature_at(progress)

    @torch.no_grad()
    def _average(self, sizes: Tensor) -> None:
        """Brings the last batch, of inputs of these sizes (B,), into the means: of all inputs, and of the last ones."""
        sizes = sizes.to(self._length.device)
        self._inputs.add_(len(sizes))
        self._length.lerp_(sizes.mean(), len(sizes) / self._inputs)
        shares = torch.stack(self.counts).to(self._shares) / sizes.mean()
        self._shares.lerp_(shares, len(sizes) / self._inputs.clamp(max=_RUNNING))

    def masses(self) -> Tensor:
        """The running means, with the gradient of the last batch."""
        masses = self._length * self._shares
        if not self.counts:
            return masses
        counts = torch.stack(self.counts)
        return masses + counts - counts.detach()

    @torch.no_grad()
    def shrink_(self, amounts: Tensor) -> None:
        soft_extract.shrink_(self.retention_parameters, amounts)

    @torch.no_grad()
    def clip_(self) -> None:
        self.retention_parameters.clamp_(max=0.0)

    @property
    def thresholds(self) -> tuple[float, ...]:
        return tuple(float(-value) for value in self.retention_parameters.detach().flatten())
