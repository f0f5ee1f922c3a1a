"""How much the caches of this machine hold, and how much memory there is beyond them."""

import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_MEMORY = Path("/proc/meminfo")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def last_level_bytes() -> int | None:
    """Of the last level of cache, all that the CPUs have which this process may run on; None where nothing tells."""
    found: dict[tuple[int, str], int] = {}
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    for cpu in allowed:
        for place in (_CPUS / f"cpu{cpu}" / "cache").glob("index*"):
            try:
                level, size, shared = (_read(place / name) for name in ("level", "size", "shared_cpu_list"))
                found[int(level), shared] = int(size[:-1]) * _UNITS[size[-1]]  # one for all CPUs that share it
            except (OSError, ValueError, KeyError, IndexError):
                continue
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last) or None


def available_bytes() -> int | None:
    """Memory that can be had without swapping, within the limit of a control group; None where nothing tells."""
    found = []
    try:
        line = next(line for line in _MEMORY.read_text().splitlines() if line.startswith("MemAvailable"))
        found.append(int(line.split()[1]) * 1024)
    except (OSError, StopIteration):
        pass
    try:
        limit, used = (int(_read(path)) for path in _LIMITS)  # "max" where there is no limit
        found.append(limit - used)
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def _read(path: Path) -> str:
    return path.read_text().strip()
