"""How settings are declared, and the rules that many of them share."""

import math
from dataclasses import field
from typing import Any

from ..errors import PowerbertError, nearest


class SettingsError(PowerbertError):
    """A config value that breaks a rule."""


def key(doc: str) -> Any:
    """A required settings field with its line of help."""
    return field(metadata={"doc": doc}, kw_only=True)


def positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise SettingsError(f"{name}={value} must be a number above 0")


def at_least_one(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise SettingsError(f"{name}={value} must be at least 1")


# What people call it elsewhere.
_ELSEWHERE = {"gpu": "cuda", "float32": "fp32", "half": "fp16", "float16": "fp16", "bfloat16": "bf16"}


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        meant = _ELSEWHERE.get(value.partition(":")[0])
        close = f" (did you mean '{meant}'?)" if meant in allowed else nearest(value, allowed)
        raise SettingsError(f"{name}={value} is none of {', '.join(allowed)}{close}")


def fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SettingsError(f"{name}={value} must be in 0 … 1")
