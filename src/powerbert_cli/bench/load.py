"""How busy the machine is."""

import os


def load_average() -> float | None:
    """Of the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def cores() -> int:
    """Of the whole machine, as the load average is."""
    return os.cpu_count() or 1
