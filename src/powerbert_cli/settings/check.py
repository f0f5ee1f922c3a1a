"""Settings of the verb that looks at a task before hours are spent on it."""

from dataclasses import dataclass

from .rules import Part, at_least_one, key


@dataclass(kw_only=True)
class CheckOptions:
    steps: int = key("training steps that are timed, on batches of all lengths", common=True)

    def __post_init__(self) -> None:
        at_least_one("check.steps", self.steps)


@dataclass(kw_only=True)
class Checking(Part):
    check: CheckOptions = key("")
