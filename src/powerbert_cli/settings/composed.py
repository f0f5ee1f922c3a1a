"""Parts that go together: what functions ask for that read several of them. Verbs add their own."""

from dataclasses import dataclass
from typing import ClassVar

from .bench import BENCH_PRECISIONS, Benching
from .common import Common
from .compress import Compressing
from .model import Model, ModelDir
from .retrain import Retraining
from .search import Searching
from .training import Training


@dataclass(kw_only=True)
class TrainedSettings(Training, Model, Common):
    """Of every verb that trains, or starts from what was trained."""

    def verify(self) -> None:
        self.check_rows(self.task, self.batch_size)

    @property
    def precisions(self) -> tuple[str, ...]:
        return (self.precision, self.training.precision)


@dataclass(kw_only=True)
class CompressedSettings(Compressing, ModelDir, TrainedSettings):
    """Of verbs that may remove layers, heads and neurons first."""


@dataclass(kw_only=True)
class SearchedSettings(Searching, CompressedSettings):
    """Of verbs that look for a retention configuration."""

    def verify(self) -> None:
        self.check_stack(self.compress)
        self.check_merging(self.task)


@dataclass(kw_only=True)
class RetrainedSettings(Retraining, SearchedSettings):
    """Of verbs that have a shortened model made."""

    def verify(self) -> None:
        self.check_strategy(self.strategy)


@dataclass(kw_only=True)
class TimedSettings(Benching, RetrainedSettings):
    """Of verbs that time a shortened model."""

    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = BENCH_PRECISIONS

    def verify(self) -> None:
        self.check_lengths(self.seq_len)
