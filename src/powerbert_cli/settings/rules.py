"""How settings are declared and checked, and the rules that many of them share."""

import math
from dataclasses import field
from typing import Any

from ..errors import PowerbertError, nearest
from .former import FORMER_VALUES


class SettingsError(PowerbertError):
    """A config value that breaks a rule."""


def key(doc: str, more: str = "", *, common: bool = False, research: bool = False) -> Any:
    """A required settings field with its line of help.

    Args:
        doc: what it means, in half a line. more: the rest, which `--help all` has too.
        common: most people set it, so that `--help` has it.
        research: it only serves to check papers. The user's key has `research.` before it, and `--help research` has
            it. Of a node it holds for all keys below.
    """
    about = {"doc": doc, "more": more, "common": common, "research": research}
    return field(metadata=about, kw_only=True)


class Part:
    """One concern of a verb's settings. A verb's own class is composed of such parts, and of no other verb's class.

    What can be checked with one part alone stands in that part's `verify`; what takes several, in the verb's.
    """

    def __post_init__(self) -> None:
        for part in reversed(type(self).__mro__):
            if "verify" in vars(part):
                vars(part)["verify"](self)


def positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise SettingsError(f"{name}={value} must be a number above 0")


def at_least_one(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise SettingsError(f"{name}={value} must be at least 1")


# What people call it elsewhere.
_ELSEWHERE = {"gpu": "cuda", "float32": "fp32", "half": "fp16", "float16": "fp16", "bfloat16": "bf16"}


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if instead := FORMER_VALUES.get((name, value)):
        raise SettingsError(f"{name}={value} is now {instead}")
    if value not in allowed:
        meant = _ELSEWHERE.get(value.partition(":")[0])
        close = f" (did you mean '{meant}'?)" if meant in allowed else nearest(value, allowed)
        raise SettingsError(f"{name}={value} is none of {', '.join(allowed)}{close}")


def fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SettingsError(f"{name}={value} must be in 0 … 1")
