"""Who hears of what stages do: pictures, progress and trackers hang on these events."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from transformers import TrainerCallback


class Events(Protocol):
    """Hears of trainings and of stages that are made."""

    def training(self, said: str, title: str) -> AbstractContextManager[list[TrainerCallback]]:
        """A training is about to begin; gives callbacks that follow it, for as long as the block lasts.

        Args:
            said: what it is, for people. title: of the stage that it belongs to, the same when it goes on.
        """

    def made(self, stage: str, folder: Path) -> None:
        """The artifacts of a stage are all there; what is written beside them now belongs to it."""


class Silent:
    """Nobody listens."""

    @contextmanager
    def training(self, said: str, title: str) -> Iterator[list[TrainerCallback]]:
        yield []

    def made(self, stage: str, folder: Path) -> None:
        pass
