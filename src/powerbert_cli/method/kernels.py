"""Which implementation scores significance: PyTorch's own operations, or the Triton kernel on a GPU."""

from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from .names import KERNELS

_forced = "auto"
_faster: dict[tuple[object, ...], bool] = {}
Scores = Callable[[], Tensor]


def use_kernel(name: str) -> None:
    """Sets one of `KERNELS` for this process: auto takes the Triton kernel on a GPU where it is faster."""
    global _forced
    if name not in KERNELS:
        raise ValueError(f"kernel {name!r} is none of {', '.join(KERNELS)}")
    _forced = name


def forced_kernel() -> str:
    """The one that was set."""
    return _forced


@cache
def triton_kernels() -> ModuleType | None:
    """The module with the kernels, or None where Triton is not installed."""
    try:
        from . import significance_triton
    except ImportError:
        return None
    return significance_triton


def scores_by(query: Tensor, has_bias: bool, by_torch: Scores, by_triton: Scores) -> Tensor:
    """The scores of one implementation.

    A bias of relative positions or windows is for PyTorch alone. In `auto` both are timed when
    a shape comes for the first time; while compiling nothing can be timed, and what is not
    known takes the kernel if there are more scores than one block of it holds.
    """
    if has_bias or _forced == "torch" or (_forced == "auto" and query.device.type != "cuda"):
        return by_torch()
    kernels = triton_kernels()
    if kernels is None or not kernels.serves(query):
        return by_torch()
    if _forced == "triton":
        return by_triton()
    shape = (*query.shape, query.dtype)
    if torch.compiler.is_compiling() or torch.cuda.is_current_stream_capturing():
        faster = _faster.get(shape, query.shape[2] > kernels.ONE_BLOCK)
    else:
        if shape not in _faster:
            _faster[shape] = _milliseconds(by_triton) < _milliseconds(by_torch)
        faster = _faster[shape]
    return by_triton() if faster else by_torch()


def _milliseconds(work: Scores) -> float:
    """Of five runs after a first one that compiles."""
    work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(5):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)
