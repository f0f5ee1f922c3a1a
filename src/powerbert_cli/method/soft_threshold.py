"""Soft thresholds on normalised significance: the search of `strategy=threshold`."""

import torch
from torch import Tensor

TEMPERATURE = 0.05  # significance over its mean; at 1/20 of the mean the sigmoid is nearly a step


def threshold_factors(normalised: Tensor, threshold: Tensor) -> Tensor:
    """sigmoid((s - θ) / T), divided by its value at θ = 0 so that no threshold scales nothing.

    Args:
        normalised: (B, N) significance over its mean in each input.
        threshold: (1,), θ ≥ 0; the gradient reaches it.

    Returns:
        (B, N) in [0, 1].
    """
    return torch.sigmoid((normalised - threshold) / TEMPERATURE) / torch.sigmoid(normalised / TEMPERATURE)


def protect(factors: Tensor, protected: int, shield: Tensor | None) -> Tensor:
    """The factors (B, N) with 1 for the leading positions and those under the shield."""
    lead = torch.zeros_like(factors, dtype=torch.bool)
    lead[:, :protected] = True
    if shield is not None:
        lead |= shield
    return factors.masked_fill(lead, 1.0)
