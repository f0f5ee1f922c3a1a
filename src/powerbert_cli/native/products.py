"""Products of rows with weights that are arranged once: oneDNN's, in float32 or in int8.

Legend: R rows, I inputs and O outputs of a product.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..store.environment import cpu_flags
from .kernels import Scale

# With more rows than these a product in float32 is as fast by PyTorch's own call, which arranges weights for itself:
# `benchmarks/linear.py` measures where that is.
FEW_ROWS = 512
_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


def has_bf16() -> bool:
    """Whether the CPU has bfloat16 of its own; else it would take many times as long as float32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(cpu_flags()))


def _largest() -> int:
    """Of a weight: without VNNI two products of bytes are added up in 16 bits, which has to have room for them."""
    return 127 if _VNNI & set(cpu_flags()) else 63


def smoothed(weight: Tensor, scale: Scale) -> Tensor:
    """(O, I), as it meets inputs that are smoothed."""
    return weight if scale.smooth is None else weight * scale.smooth


def in_bytes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(O, I) → int8 of the same shape, and the step of each output (O,)."""
    steps = weight.abs().amax(dim=1).clamp(min=1e-12) / _largest()
    return (weight / steps.unsqueeze(1)).round().to(torch.int8), steps


class Product(Protocol):
    """x·Wᵀ + b.

    Attributes:
        scale: of the bytes that it takes; None where it takes float32.
    """

    scale: Scale | None

    def __call__(self, x: Tensor) -> Tensor:
        """(R, I) → (R, O), of bytes in float32."""


class FloatProduct:
    """In float32 or bfloat16. With few rows oneDNN reads weights in an order of its own, of which this keeps a copy."""

    scale: Scale | None = None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight: (O, I); bias: (O,), or None."""
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        bfloat = weight.dtype == torch.bfloat16 and has_bf16()
        few = FEW_ROWS if weight.dtype == torch.float32 else 0
        self._arranges_up_to = (math.inf if bfloat else few) if torch.backends.mkldnn.is_available() else 0
        self._arranged: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) > self._arranges_up_to:
            return F.linear(x, self.weight, self.bias)
        if self._arranged is None:
            self._arranged = torch.ops.mkldnn._reorder_linear_weight(self.weight)
        return torch.ops.mkldnn._linear_pointwise(x, self._arranged, self.bias, "none", [], "")

    def to(self, dtype: torch.dtype) -> "FloatProduct":
        if dtype == self.weight.dtype:
            return self
        return FloatProduct(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))


@dataclass
class ByteProduct:
    """In int8: each output's weights have a scale of their own, the inputs one for all.

    Args:
        exact: the product in float32.
        scale: of the inputs.
    """

    exact: FloatProduct
    scale: Scale

    def __post_init__(self) -> None:
        self._weight = _Bytes(smoothed(self.exact.weight, self.scale))

    def __call__(self, x: Tensor) -> Tensor:
        return self._weight.product(x, self.scale.step, self.scale.zero, self.exact.bias)


class RowProduct:
    """In int8, of inputs with a step and a least number for each row, whose result `add_norm` puts together.

    With x = step·byte + least, x·Wᵀ + b is step·(byte·Wᵀ) + least·(the sum of each row of W) + b; a call gives byte·Wᵀ.

    Attributes:
        sums, bias: (O,), what `add_norm` is given.
    """

    def __init__(self, exact: FloatProduct) -> None:
        self._weight = _Bytes(exact.weight)
        self.sums = self._weight.sums
        self.bias = torch.zeros_like(self.sums) if exact.bias is None else exact.bias

    def __call__(self, x: Tensor) -> Tensor:
        return self._weight.product(x, 1.0, 0, None)


class _Bytes:
    """Weights in int8, arranged."""

    def __init__(self, weight: Tensor) -> None:
        """weight: (O, I)."""
        whole, self._steps = in_bytes(weight)
        self.sums = whole.sum(dim=1) * self._steps
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)

    def product(self, x: Tensor, step: float, zero: int, bias: Tensor | None) -> Tensor:
        return torch.ops.onednn.qlinear_pointwise(
            x, step, zero, self._packed, self._steps, self._zeros, bias, 1.0, 0, torch.float32, "none", [], ""
        )
