"""Soft-extract layers and their regulariser (PoWER-BERT, section 3.3 and equation 4).

A retention parameter r_j[k] scales the word-vector whose rank by significance is k (0-based
here) in encoder j (1-based in the paper, row j-1 here). The parameters of protected ranks are
held at 1, as the extract layer that follows never eliminates those positions.
"""

import math

import torch
from torch import Tensor


def initial_parameters(layers: int, seq_len: int) -> Tensor:
    """Retention parameters before the search: all 1, (L, ℓ) float32."""
    return torch.ones(layers, seq_len)


def scale_by_rank(vectors: Tensor, r: Tensor, order: Tensor) -> Tensor:
    """Multiplies each word-vector by the retention parameter of its rank.

    Args:
        vectors: (B, N, D).
        r: (ℓ,) retention parameters of this layer, ℓ ≥ N.
        order: (B, N) positions by falling significance, see `significance_order`.

    Returns:
        (B, N, D); the gradient reaches both `vectors` and `r`.
    """
    rank = torch.empty_like(order)
    ranks = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    rank.scatter_(1, order, ranks)  # rank[b, position] = k
    return vectors * r[rank].unsqueeze(-1).to(vectors.dtype)


def masses(r: Tensor) -> Tensor:
    """mass_j = Σ_k r_j[k] for each layer: (L, ℓ) → (L,)."""
    return r.sum(dim=-1)


def regularizer(masses: Tensor) -> Tensor:
    """Σ_j j · mass_j, the term that λ weighs in the search objective. (L,) → scalar."""
    layer = torch.arange(1, len(masses) + 1, device=masses.device, dtype=masses.dtype)
    return (layer * masses).sum()


@torch.no_grad()
def shrink_(r: Tensor, amount: float) -> None:
    """The decoupled regulariser: r_j falls by j · amount, in place, apart from the optimiser.

    As AdamW does with weight decay: outside Adam's normalisation the strength of λ is kept.
    (L, ℓ); j is 1-based.
    """
    r -= amount * torch.arange(1, r.shape[0] + 1, device=r.device, dtype=r.dtype).unsqueeze(-1)


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
    """The peak learning rate with which `reach` is what is wanted."""
    return wanted / max(reach(learning_rates(steps, warmup_ratio, 1.0)), 1e-9)


def reach(learning_rates: Tensor) -> float:
    """How far an undefended retention parameter can fall in a whole search.

    Adam turns a lone L1 gradient into a step of about the learning rate, whatever λ is, so
    the sum of the learning rates of all steps bounds the fall. Below 1 no rank can be
    eliminated fully and different λ tend to give the same configuration.

    Args:
        learning_rates: (S,) learning rate of r at each of the S steps.
    """
    return float(learning_rates.sum())
