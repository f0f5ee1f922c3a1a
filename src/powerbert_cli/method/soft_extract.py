"""Soft-extract layers and their regulariser (PoWER-BERT, section 3.3 and equation 4).

A retention parameter r_j[k] scales the word-vector whose rank by significance is k (0-based
here) in encoder j (1-based in the paper, row j-1 here). The parameters of protected ranks are
held at 1, as the extract layer that follows never eliminates those positions.
"""

import math

import torch
from torch import Tensor


def initial_parameters(layers: int, ranks: int) -> Tensor:
    """Retention parameters before the search: all 1, (L, ranks) float32; ℓ ranks, or M relative ones."""
    return torch.ones(layers, ranks)


def factors_by_rank(r: Tensor, order: Tensor) -> Tensor:
    """What each word-vector is multiplied by: the retention parameter of its rank.

    Args:
        r: (ℓ,) retention parameters of this layer, ℓ ≥ N.
        order: (B, N) positions by falling significance, see `significance_order`.

    Returns:
        (B, N), with gradient.
    """
    return r[_ranks(order)]


def factors_by_relative_rank(r: Tensor, order: Tensor, sizes: Tensor, protected: int) -> Tensor:
    """What each word-vector is multiplied by: the mean of the retention parameters over its relative rank.

    An input of n word-vectors divides the relative ranks [0, 1] into n parts; that of rank k is
    scaled by the mean of r over [k/n, (k+1)/n]. So its factors add up to n · mean(r) whatever n
    is, and with n = M they are r itself.

    Args:
        r: (M,) retention parameters of this layer, each for an M-th of the relative ranks.
        order: (B, N) positions by falling significance, see `significance_order`.
        sizes: (B,) word-vectors of each input.
        protected: leading ranks that are not scaled.

    Returns:
        (B, N), with gradient; 0 for padding.
    """
    parts, n = r.shape[0], order.shape[-1]
    exact = r.double()  # differences of integrals
    integral = torch.cat([exact.new_zeros(1), exact.cumsum(0)])  # (M+1,), in parts
    edges = torch.arange(n + 1, device=r.device) / sizes.double().unsqueeze(-1)  # (B, N+1)
    edges = edges.clamp(max=1) * parts
    below = edges.floor().clamp(max=parts - 1).long()
    reached = integral[below] + (edges - below) * exact[below]
    factors = reached.diff(dim=-1) * sizes.unsqueeze(-1) / parts  # by rank
    factors = torch.cat([torch.ones_like(factors[:, :protected]), factors[:, protected:]], dim=-1)
    return factors.gather(1, _ranks(order)).to(r.dtype)


def _ranks(order: Tensor) -> Tensor:
    """(B, N): the rank of each position."""
    ranks = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, ranks)


def masses(r: Tensor) -> Tensor:
    """mass_j = Σ_k r_j[k] for each layer: (L, ℓ) → (L,)."""
    return r.sum(dim=-1)


def index_weights(masses: Tensor) -> Tensor:
    """What a word-vector of each layer weighs in the paper's regulariser: the index j. (L,) → (L,)."""
    return torch.arange(1, len(masses) + 1, device=masses.device, dtype=masses.dtype)


def regularizer(masses: Tensor, weights: Tensor) -> Tensor:
    """Σ_j w_j · mass_j, the term that λ weighs in the search objective. (L,), (L,) → scalar."""
    return (weights * masses).sum()


@torch.no_grad()
def shrink_(r: Tensor, amounts: Tensor) -> None:
    """The decoupled regulariser: r_j falls by amounts[j], in place, apart from the optimiser.

    As AdamW does with weight decay: outside Adam's normalisation the strength of λ is kept.
    (L, ℓ), (L,).
    """
    r -= amounts.to(r).unsqueeze(-1)


@torch.no_grad()
def clip_(r: Tensor, protected: int = 1) -> None:
    """Brings r back into [0, 1] in place, and the protected ranks to 1."""
    r.clamp_(0.0, 1.0)
    r[:, :protected] = 1.0


def learning_rates(steps: int, warmup_ratio: float, peak: float) -> Tensor:
    """Learning rate of each of the S steps of linear warm-up and decay, (S,) float64."""
    warmup = math.ceil(steps * warmup_ratio)
    step = torch.arange(steps, dtype=torch.float64)
    rising = step / max(1, warmup)
    falling = (steps - step) / max(1, steps - warmup)
    return peak * torch.where(step < warmup, rising, falling)


def learning_rate_for_reach(wanted: float, steps: int, warmup_ratio: float) -> float:
    """The peak learning rate with which `reach` is what is wanted; any does where no step moves r."""
    return wanted / (reach(learning_rates(steps, warmup_ratio, 1.0)) or 1.0)


def reach(learning_rates: Tensor) -> float:
    """How far an undefended retention parameter can fall in a whole search.

    Adam turns a lone L1 gradient into a step of about the learning rate, whatever λ is, so
    the sum of the learning rates of all steps bounds the fall. Below 1 no rank can be
    eliminated fully and different λ tend to give the same configuration.

    Args:
        learning_rates: (S,) learning rate of r at each of the S steps.
    """
    return float(learning_rates.sum())
