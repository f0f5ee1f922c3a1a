"""Scales of the bytes that products take in int8, from what they are given for training texts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .kernels import Scale
from .model import PRODUCTS, NativeModel

_BINS = 2048
_LEVELS = 255
_OF_ONE = 2**16  # numbers of one input that are looked at
_CUTS = 40  # places where the range could end that are tried


class Watched:
    """How the numbers of one tensor are spread: a histogram over all inputs."""

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.kept: list[Tensor] = []

    def see(self, x: Tensor) -> None:
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self.kept.append(x.flatten()[:: max(1, x.numel() // _OF_ONE)].clone())

    def scale(self) -> Scale:
        """That of the least squared error; both ends are cut alike, in shares of the range."""
        numbers = torch.cat(self.kept)
        counts = torch.histc(numbers, _BINS, self.low, self.high)
        centres = self.low + (torch.arange(_BINS) + 0.5) * (self.high - self.low) / _BINS
        best, least = None, float("inf")
        for share in torch.linspace(1.0, 0.2, _CUTS).tolist():
            found = _of_range(share * self.low, share * self.high)
            whole = (centres / found.step + found.zero).round().clamp(0, _LEVELS)
            error = float(((found.step * (whole - found.zero) - centres).square() * counts).sum())
            if error < least:
                best, least = found, error
        assert best is not None
        return best


def _of_range(low: float, high: float) -> Scale:
    """0 is a byte of its own."""
    step = max(high - low, 1e-12) / _LEVELS
    return Scale(step, round(-low / step))


def calibrated(model: Any, inputs: Sequence[dict[str, Tensor]]) -> NativeModel:
    """The model in int8.

    Args:
        model: a `ShortenedModel`; see `NativeModel`.
        inputs: batches of training texts.

    Raises:
        NotNative, NoLibrary
    """
    native = NativeModel(model)
    seen = {(j, name): Watched() for j in range(model.layers) for name in PRODUCTS}
    native.watch = lambda j, name, x: seen[j, name].see(x)
    for batch in inputs:
        native(**batch)
    native.watch = None
    native.in_int8({key: one.scale() for key, one in seen.items() if one.kept})
    return native
