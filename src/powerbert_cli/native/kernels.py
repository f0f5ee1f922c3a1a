"""The kernels as functions of tensors.

Legend: T rows, T' those that go on, B inputs, H heads, D hidden, A numbers of all heads together, F neurons.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .library import library

_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}
LEVELS = 255
ACTIVATIONS = {"gelu": 0, "gelu_tanh": 1, "relu": 2, "silu": 3}


@dataclass(frozen=True)
class Scale:
    """Of numbers as bytes: x ≈ step · (byte − zero), in column c times smooth_c.

    Attributes:
        smooth: (columns,) float32, by which columns with large numbers are divided beforehand, and the weights times
            it (SmoothQuant, equation 4); None for 1.
    """

    step: float
    zero: int
    smooth: Tensor | None = field(default=None, compare=False)

    @classmethod
    def of_range(cls, low: float, high: float, smooth: Tensor | None = None) -> "Scale":
        """From low ≤ 0 to high ≥ 0, of what is smoothed; 0 is a byte of its own."""
        step = max(high - low, 1e-12) / LEVELS
        return cls(step, round(-low / step), smooth)

    def quantised(self, x: Tensor) -> Tensor:
        """(…, columns) → bytes."""
        smoothed = x if self.factors is None else x * self.factors
        return (smoothed / self.step + self.zero).round_().clamp_(0, LEVELS).to(torch.uint8)

    @cached_property
    def factors(self) -> Tensor | None:
        """(columns,), what the numbers are multiplied by."""
        return None if self.smooth is None else (1 / self.smooth).contiguous()

    @property
    def given(self) -> tuple[ctypes.c_float, ctypes.c_float]:
        return ctypes.c_float(1 / self.step), ctypes.c_float(self.zero)


@dataclass(frozen=True)
class ByRow:
    """Of numbers as bytes between the extremes of each row, which are found as it runs.

    So it needs no calibration, and what is large in one word-vector costs the others nothing.
    """


_NONE = Scale(1.0, 0)


class _Attention(ctypes.Structure):
    """As kernels.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("qkv", "starts", "kept", "positions", "shield", "priority", "bias")),
        *((name, ctypes.c_void_p) for name in ("cos", "sin", "context", "rows")),
        *((name, ctypes.c_int32) for name in ("inputs", "heads", "size", "span", "window", "protected_")),
        *((name, ctypes.c_int32) for name in ("first_only", "diagonal")),
        *((name, ctypes.c_float) for name in ("scale", "inverse", "zero")),
    )


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _called(code: int) -> None:
    if code:
        raise TypeError("a kernel was given a type that it does not have")


def attend(
    qkv: Tensor,
    starts: Tensor,
    kept: Tensor,
    context: Tensor,
    size: int,
    tensors: Mapping[str, Tensor | None],
    numbers: Mapping[str, int],
    scale: Scale | None = None,
) -> Tensor:
    """Self-attention of packed inputs; of more than are kept the most significant (section 3.2), ties to the first.

    Args:
        qkv: (T, 3·A) float32 or bfloat16, query, key and value of each row.
        starts: (B + 1,) int32, where each input's rows begin.
        kept: (B + 1,) int32, where those begin that it keeps.
        context: (at least T', A), gets A·V of the kept; as qkv or uint8.
        size: A/H.
        tensors: what there is of positions (T,) int32, shield (T,) uint8, priority (ℓ,) float32, bias (H, 2·span + 1),
            cos and sin (ℓ, A/H).
        numbers: what there is of span, window, protected_, first_only, diagonal.
        scale: of a context in bytes, without smoothing.

    Returns:
        (T',) int32, the rows that are kept.
    """
    rows = torch.empty(int(kept[-1]), dtype=torch.int32)
    given: dict[str, Any] = {name: _address(one) for name, one in tensors.items()}
    inverse, zero = (scale or _NONE).given
    call = _Attention(
        qkv=_address(qkv), starts=_address(starts), kept=_address(kept), context=_address(context),
        rows=_address(rows), inputs=len(starts) - 1, heads=context.shape[1] // size, size=size, scale=size**-0.5,
        inverse=inverse, zero=zero, **given, **numbers,
    )  # fmt: skip
    _called(library().powerbert_attend(ctypes.byref(call), _KINDS[qkv.dtype], _KINDS[context.dtype]))
    return rows


def attend_first(
    x: Tensor, starts: Tensor, asked: Tensor, positions: Tensor | None, bias: Tensor | None, span: int
) -> Tensor:
    """Means of the rows of each input, by the softmax of their products with what the first word-vector asks for.

    Args:
        x: (T, D) float32.
        asked: (B, H, D), its queries through the keys' weights, scaled.
        positions, bias, span: see `attend`.

    Returns:
        (B, H, D).
    """
    means, (inputs, heads, hidden) = torch.empty_like(asked), asked.shape
    code = library().powerbert_attend_first(
        *map(_pointer, (x, starts, asked, positions, bias)), span, inputs, heads, hidden, _pointer(means)
    )
    _called(code)
    return means


def add_norm(
    x: Tensor,
    residual: Tensor | None,
    at: Tensor | None,
    norm: tuple[Tensor, Tensor | None, float] | None,
    to: tuple[Tensor | None, Tensor | None, Tensor | None],
    scale: Scale | None = None,
    by_row: tuple[Tensor, Tensor, Tensor] | None = None,
) -> None:
    """Of x (R, D) and rows of a residual their sum, its layer norm, and that as bytes.

    Args:
        at: (R,) int32, which rows of the residual; None for its first.
        norm: gain and shift (D,) float32, epsilon; None where only the sum is wanted.
        to: where sum, norm and bytes go, (R, D) each; None for what is not wanted.
        scale: of the bytes.
        by_row: of an x that is a product of bytes by row, see `activate`: their ends (R, 2), and of the product the sum
            of each output's weights and the bias, (D,) each.
    """
    gain, shift, epsilon = norm or (None, None, 0.0)
    code = library().powerbert_add_norm(
        *map(_pointer, (x, residual, at, gain, shift)), ctypes.c_float(epsilon),
        ctypes.c_int64(x.shape[0]), ctypes.c_int64(x.shape[1]), *map(_pointer, to), _KINDS[x.dtype],
        _pointer((scale or _NONE).factors), *(scale or _NONE).given, *map(_pointer, by_row or (None, None, None)),
    )  # fmt: skip
    _called(code)


def activate(x: Tensor, kind: str, to: Tensor, ends: Tensor | None = None) -> None:
    """An activation of x (R, F), or of x (R, 2·F) its first half's times its second, to (R, F); see `ACTIVATIONS`.

    Args:
        ends: (R, 2) float32, with bytes: gets each row's step and least number, which is byte 0; the largest is 255.
    """
    rows, width = to.shape
    code = library().powerbert_activate(
        _pointer(x), ctypes.c_int64(rows), ctypes.c_int64(width), ACTIVATIONS[kind], int(x.shape[1] == 2 * width),
        _pointer(to), _KINDS[x.dtype], _KINDS[to.dtype], _pointer(ends),
    )  # fmt: skip
    _called(code)


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(_address(tensor))
