"""The encoders of the search: every word-vector goes on, scaled by what its layer learns to keep."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..method import soft_extract
from ..method.elimination import Elimination
from ..method.selection import significance_order
from ..method.significance import normalise
from ..method.soft_threshold import protect, threshold_factors
from .attention import WordVectors, attend_and_score
from .block import Block
from .shortened import EliminationModel


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

    def attention_half(self, j: int, block: Block, state: WordVectors) -> WordVectors:
        state, scores = attend_and_score(block, state, self.elimination, self._priority, self.training)
        order = significance_order(scores, state.mask, self.shielded, state.shield if self.shielded else None)
        r = self.retention_parameters[j]
        if not self.elimination.relative:
            return state._replace(vectors=soft_extract.scale_by_rank(state.vectors, r, order))
        sizes = state.sizes if state.sizes is not None else order.new_full(order.shape[:1], order.shape[1])
        scaled = soft_extract.scale_by_relative_rank(state.vectors, r, order, sizes, self.shielded)
        return state._replace(vectors=scaled)

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

    Each word-vector is scaled by a steep sigmoid of its normalised significance less θ_j; hard
    thresholds follow in re-training. The mass of a layer is the mean of these factors over the
    real word-vectors of the last batch, times ℓ, so that λ weighs as it does in soft-extract.
    """

    def __init__(self, host: PreTrainedModel, elimination: Elimination) -> None:
        super().__init__(host, elimination)
        self.retention_parameters = nn.Parameter(torch.zeros(self.layers, 1))
        self.ends_in_first = False  # the mass of the last layer is measured on all its word-vectors
        self._shares: list[Tensor] = [torch.ones(())] * self.layers

    def attention_half(self, j: int, block: Block, state: WordVectors) -> WordVectors:
        state, scores = attend_and_score(block, state, self.elimination, self._priority, self.training)
        factors = threshold_factors(normalise(scores, state.mask), -self.retention_parameters[j])
        self._shares[j] = factors.mean() if state.mask is None else factors[state.mask].mean()
        factors = protect(factors, self.elimination.protected, state.shield)
        return state._replace(vectors=state.vectors * factors.unsqueeze(-1).to(state.vectors.dtype))

    def masses(self) -> Tensor:
        return self.seq_len * torch.stack([share.to(self.retention_parameters.device) for share in self._shares])

    @torch.no_grad()
    def shrink_(self, amounts: Tensor) -> None:
        soft_extract.shrink_(self.retention_parameters, amounts)

    @torch.no_grad()
    def clip_(self) -> None:
        self.retention_parameters.clamp_(max=0.0)

    @property
    def thresholds(self) -> tuple[float, ...]:
        return tuple(float(-value) for value in self.retention_parameters.detach().flatten())
