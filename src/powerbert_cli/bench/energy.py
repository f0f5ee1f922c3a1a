"""Energy counters, where the platform has them and lets them be read."""

from collections.abc import Callable
from pathlib import Path

_PACKAGES = Path("/sys/class/powercap")


def energy_counter(device: str) -> Callable[[], float] | None:
    """A function that gives the joules used so far, from any start; None where nothing tells.

    On a CPU these are all packages' counters of the powercap interface (Intel and AMD), which
    often only root may read; on a GPU that of NVML, if the package pynvml is there.
    """
    return _gpu_counter() if device == "cuda" else _cpu_counter()


def _cpu_counter() -> Callable[[], float] | None:
    zones = sorted(zone for zone in _PACKAGES.glob("intel-rapl:*") if zone.name.count(":") == 1)
    if not zones:
        return None
    try:
        ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
        last = [int((zone / "energy_uj").read_text()) for zone in zones]
    except (OSError, ValueError):
        return None
    used = 0.0

    def joules() -> float:
        nonlocal used
        for i, zone in enumerate(zones):
            now = int((zone / "energy_uj").read_text())
            used += (now - last[i]) % (ranges[i] + 1)  # the counter starts again at its range
            last[i] = now
        return used / 1e6

    return joules


def _gpu_counter() -> Callable[[], float] | None:
    try:
        import pynvml
    except ImportError:
        return None
    import torch

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties().uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:  # no driver, or a GPU without the counter
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
