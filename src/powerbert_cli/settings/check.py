"""Settings of the verb that looks at a task before hours are spent on it."""

from dataclasses import dataclass

from .bench import BENCH_PRECISIONS, ENGINES
from .rules import Part, at_least_one, key, one_of


@dataclass(kw_only=True)
class CheckOptions:
    steps: int = key("training steps that are timed, on batches of all lengths", common=True)
    engines: list[str] = key(
        "engines that show what dropping brings; [] for none", "; those that the device lacks are left out", common=True
    )
    precisions: list[str] = key(
        "their precisions, as bench.precisions; int8 is calibrated on training texts",
        "; on a GPU also bf16",
        common=True,
    )

    def __post_init__(self) -> None:
        at_least_one("check.steps", self.steps)
        for name, allowed in {"engines": ENGINES, "precisions": BENCH_PRECISIONS}.items():
            for value in getattr(self, name):
                one_of(f"check.{name}", value, allowed)


@dataclass(kw_only=True)
class Checking(Part):
    check: CheckOptions = key("")
