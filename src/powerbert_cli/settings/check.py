"""Settings of the verb that looks at a task before hours are spent on it."""

from dataclasses import dataclass

from .rules import at_least_one, key
from .search import SearchSettings


@dataclass(kw_only=True)
class CheckOptions:
    steps: int = key("training steps that are timed, on batches of all lengths")

    def __post_init__(self) -> None:
        at_least_one("check.steps", self.steps)


@dataclass(kw_only=True)
class CheckSettings(SearchSettings):
    check: CheckOptions = key("")
