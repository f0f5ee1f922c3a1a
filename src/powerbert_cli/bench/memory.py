"""Peak memory of a piece of work."""

import contextlib
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak(device: str) -> None:
    """Starts a new measurement."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # resets VmHWM on Linux


def peak_mb(device: str) -> float | None:
    """Peak since `reset_peak`, in MB: allocated on the GPU, or resident in the whole process.

    None where the system does not tell.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None
