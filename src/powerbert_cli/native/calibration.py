"""Scales of the bytes that products take in int8, from what they are given for training texts."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .kernels import LEVELS, ByRow, Scale
from .model import PRODUCTS, NativeModel
from .products import FloatProduct, in_bytes, smoothed

log = logging.getLogger(__name__)
_ROWS = 512  # of all inputs, on which scales are tried
_OUTPUTS = 256  # of a product, of which the error is measured
_CUTS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # shares of the range that are tried
_STRENGTHS = (0.3, 0.5, 0.7, 0.85)  # of smoothing that are tried, SmoothQuant's alpha
MOST_LOST = 0.05  # of a product's results; see benchmarks/native_int8.py
SMOOTHED = ("qkv", "up")  # products whose inputs the kernels can smooth
BY_ROW = "down"  # few word-vectors have numbers there that are many times as large as the others'


class Watched:
    """What one product is given, over all inputs.

    Attributes:
        low, high: (I,), the extremes of each column, 0 among them.
        rows: some of it.
    """

    def __init__(self, inputs: int) -> None:
        self._each = max(1, _ROWS // inputs)
        self.low = self.high = torch.zeros(1)
        self.rows: list[Tensor] = []

    def see(self, x: Tensor) -> None:
        """x: (T, I), what it is given of one input."""
        x = x.float()
        self.low = torch.minimum(self.low, x.amin(dim=0))
        self.high = torch.maximum(self.high, x.amax(dim=0))
        self.rows.append(x[:: -(-len(x) // self._each)].clone())

    def scale(self, exact: FloatProduct, smooths: bool) -> tuple[Scale, float]:
        """That with which the product's results lose least, and the root mean square of the loss over theirs.

        Args:
            exact: the product. smooths: its inputs may be smoothed.
        """
        weight = exact.weight.float()[:: -(-len(exact.weight) // _OUTPUTS)]
        rows = torch.cat(self.rows)
        wanted, best, least = rows @ weight.T, None, float("inf")
        for smooth in (None, *(self._smooths(exact.weight.float()) if smooths else ())):
            low, high = (end if smooth is None else end / smooth for end in (self.low, self.high))
            by = Scale(1.0, 0, smooth)
            whole, steps = in_bytes(smoothed(weight, by))
            kept = (whole * steps.unsqueeze(1)).T
            for cut in _CUTS:
                found = Scale.of_range(cut * float(low.min()), cut * float(high.max()), smooth)
                given = found.step * (found.quantised(rows).float() - found.zero)
                error = float((given @ kept - wanted).square().sum())
                if error < least:
                    best, least = found, error
        if best is None:  # what is no number has no scale
            return Scale(1.0, 0), float("nan")
        return best, (least / float(wanted.square().sum().clamp(min=1e-30))) ** 0.5

    def lost_by_row(self, exact: FloatProduct) -> float:
        """The same loss where each row has its own extremes."""
        weight, rows = exact.weight.float(), torch.cat(self.rows)
        whole, steps = in_bytes(weight)
        wanted, (low, high) = rows @ weight.T, rows.aminmax(dim=1, keepdim=True)
        step = (high - low).clamp(min=1e-12) / LEVELS
        given = ((rows - low) / step).round() * step + low
        error = (given @ (whole * steps.unsqueeze(1)).T - wanted).square().sum()
        return float((error / wanted.square().sum().clamp(min=1e-30)).sqrt())

    def _smooths(self, weight: Tensor) -> Iterator[Tensor]:
        """What columns could be divided by (equation 4 of SmoothQuant)."""
        of_inputs = torch.maximum(-self.low, self.high).clamp(min=1e-5)
        of_weights = weight.abs().amax(dim=0).clamp(min=1e-5)
        for strength in _STRENGTHS:
            found = of_inputs**strength / of_weights ** (1 - strength)
            yield found / found.log().mean().exp()


def calibrated(model: Any, inputs: Sequence[dict[str, Tensor]]) -> NativeModel:
    """The model in int8.

    Args:
        model: a `ShortenedModel`; see `NativeModel`.
        inputs: batches of training texts.

    Raises:
        NotNative, NoLibrary
    """
    native = NativeModel(model)
    native.in_int8(scales_of(native, watched(native, inputs)))
    return native


def watched(native: NativeModel, inputs: Sequence[dict[str, Tensor]]) -> dict[tuple[int, str], Watched]:
    """What the products are given, by layer and name; of those that run."""
    seen = {(j, name): Watched(len(inputs)) for j in range(native.model.layers) for name in PRODUCTS}
    native.watch = lambda j, name, x: seen[j, name].see(x)
    for batch in inputs:
        native(**batch)
    native.watch = None
    return {key: one for key, one in seen.items() if one.rows}


def scales_of(
    native: NativeModel, seen: dict[tuple[int, str], Watched], most: float = MOST_LOST
) -> dict[tuple[int, str], Scale | ByRow]:
    """Of each product that is watched, but those that would lose too much: they stay in float32.

    Args:
        native: still in float32.
        most: that a product may lose, see `Watched.scale`.
    """
    found: dict[tuple[int, str], tuple[Scale | ByRow, float]] = {}
    for (j, name), one in seen.items():
        exact = native.product(j, name)
        rule = (ByRow(), one.lost_by_row(exact)) if name == BY_ROW else one.scale(exact, name in SMOOTHED)
        found[j, name] = rule
    stay = [f"{name} of layer {j + 1} ({lost:.2f})" for (j, name), (_, lost) in found.items() if not lost <= most]
    if stay:
        log.info("engine=native precision=int8: in float32 for their outliers stay %s", ", ".join(stay))
    return {key: scale for key, (scale, lost) in found.items() if lost <= most}
