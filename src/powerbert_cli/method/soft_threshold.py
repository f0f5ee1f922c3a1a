"""Soft thresholds on normalised significance: the search of `strategy=threshold`.

A word-vector survives a layer to a degree, its factor; how far it still survives after several layers is
the product of its factors, kept here as a logarithm. Attention weighs keys by it, and significance weighs queries by
it, so that in the limit of a steep sigmoid the search computes what the hard thresholds compute.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the sigmoid, in significance over its mean: at the beginning and at the end of a search. A word-vector a little
# above several thresholds loses a little at each, where the hard model keeps it whole, so the end has to be steep.
TEMPERATURE, LAST_TEMPERATURE = 0.05, 0.005
GONE = -1e4  # a logarithm that is as good as -inf, also times a few layers in half precision; its exponential is 0


def temperature_at(progress: float) -> float:
    """It falls by the same factor in each step of the search; progress is in [0, 1]."""
    return TEMPERATURE * (LAST_TEMPERATURE / TEMPERATURE) ** progress


def log_threshold_factors(normalised: Tensor, threshold: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """log of sigmoid((s - θ) / T), less its value at θ = 0, so that no threshold scales nothing.

    Args:
        normalised: (B, N) significance over the mean of what survives, in each input.
        threshold: (1,), θ ≥ 0; the gradient reaches it.

    Returns:
        (B, N), at most 0.
    """
    scaled = normalised / temperature
    return (F.logsigmoid(scaled - threshold / temperature) - F.logsigmoid(scaled)).clamp(min=GONE)


def protect(log_factors: Tensor, protected: int, shield: Tensor | None) -> Tensor:
    """The logarithms (B, N) with 0 for the leading positions and those under the shield."""
    lead = torch.zeros_like(log_factors, dtype=torch.bool)
    lead[:, :protected] = True
    if shield is not None:
        lead |= shield
    return log_factors.masked_fill(lead, 0.0)
