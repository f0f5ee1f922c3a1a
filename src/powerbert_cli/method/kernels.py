"""Which implementation scores significance: PyTorch's own operations, or the Triton kernel on a GPU."""

from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .names import KERNELS

_forced = "auto"


def use_kernel(name: str) -> None:
    """Sets one of `KERNELS` for this process: auto takes the Triton kernel on a GPU."""
    global _forced
    if name not in KERNELS:
        raise ValueError(f"kernel {name!r} is none of {', '.join(KERNELS)}")
    _forced = name


def forced_kernel() -> str:
    """What `use_kernel` set."""
    return _forced


@cache
def triton_kernels() -> ModuleType | None:
    """The module with the kernels, or None where Triton is not installed."""
    try:
        from . import significance_triton
    except ImportError:
        return None
    return significance_triton


def uses_triton(query: Tensor, has_bias: bool) -> bool:
    """Whether the kernel scores these queries (…, D/H): where it serves; in `auto` on a GPU only.

    A bias of relative positions or windows is for PyTorch alone.
    """
    if has_bias or _forced == "torch" or (_forced == "auto" and query.device.type != "cuda"):
        return False
    kernels = triton_kernels()
    return kernels is not None and kernels.serves(query)


@torch.no_grad()
def significance_by_triton(
    query: Tensor,
    key: Tensor,
    starts: Tensor,
    longest: Any,
    real: Tensor | None,
    diagonal: bool = True,
    pad_queries: bool = False,
) -> Tensor:
    """Significance of packed rows (T,) float32; see `significance_triton.significance_kernel`.

    Raises:
        RuntimeError: Triton is not installed.
    """
    kernels = triton_kernels()
    if kernels is None:
        raise RuntimeError("the Triton kernel needs the package triton")
    return kernels.significance_kernel(query.detach(), key.detach(), starts, longest, real, diagonal, pad_queries)
