"""Products of rows with weights that are arranged once: oneDNN's, in float32 or in int8.

Legend: R rows, I inputs and O outputs of a product.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..encoder.linear import ArrangedLinear
from ..store.environment import cpu_flags
from .kernels import Scale

_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


def _largest() -> int:
    """Of a weight: without VNNI two products of bytes are added up in 16 bits, which has to have room for them."""
    return 127 if _VNNI & set(cpu_flags()) else 63


class Product(Protocol):
    """x·Wᵀ + b.

    Attributes:
        scale: of the bytes that it takes; None where it takes float32.
    """

    scale: Scale | None

    def __call__(self, x: Tensor) -> Tensor:
        """(R, I) → (R, O) float32."""


class FloatProduct:
    scale: Scale | None = None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight: (O, I); bias: (O,), or None."""
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self._arranged = ArrangedLinear(self.weight, self.bias)

    def __call__(self, x: Tensor) -> Tensor:
        return self._arranged(x)


@dataclass
class ByteProduct:
    """In int8: each output's weights have a scale of their own, the inputs one for all.

    Args:
        exact: the product in float32.
        scale: of the inputs.
    """

    exact: FloatProduct
    scale: Scale | None

    def __post_init__(self) -> None:
        weight = self.exact.weight
        self._steps = weight.abs().amax(dim=1).clamp(min=1e-12) / _largest()
        whole = (weight / self._steps.unsqueeze(1)).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)

    def __call__(self, x: Tensor) -> Tensor:
        assert self.scale is not None
        return torch.ops.onednn.qlinear_pointwise(
            x, self.scale.step, self.scale.zero, self._packed, self._steps, self._zeros, self.exact.bias,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
