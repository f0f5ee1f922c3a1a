"""Re-training: extract layers that really shorten; with a configuration that keeps everything, the plain baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..encoder.shortened import ShortenedModel
from ..settings import CompressOptions, RetrainStage
from ..store.retention_file import RetentionFile
from ..store.stages import Stage
from ..tasks.metrics import Drop, paired_drop
from ..tasks.predictions import read_predictions
from .inputs import Making, MeasuredInputs, Source
from .quantise import quantise
from .searching import Search
from .teacher import Teacher, answers_of
from .trained import train


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Of the linear layers of a model that is re-trained."""

    options: CompressOptions

    def decides(self) -> dict[str, object]:
        return self.options.decides_bits()


@dataclass(frozen=True, kw_only=True)
class Retrain(MeasuredInputs):
    """
    Attributes:
        start: the model that is re-trained.
        retention: the configuration, given or what a search found.
        stage: epochs, learning rate and options.
        teacher: the answers that are distilled; None without distillation.
        bits: of the linear layers; None where all have 32.
    """

    STAGE: ClassVar[str] = "retrain"

    start: Source
    retention: RetentionFile | Search
    stage: RetrainStage
    teacher: Teacher | None
    bits: Bits | None

    def make(self, making: Making) -> None:
        retention = self.retention
        if isinstance(retention, Search):
            retention = making.before[retention.identity].retention
        model = ShortenedModel(making.host(self.start), retention.elimination)
        if self.bits is not None:
            quantise(making.context, self.bits.options, model)
        answers = None if self.teacher is None else answers_of(making.before[self.teacher.identity])
        lr_clips = 0.0 if self.bits is None else self.bits.options.lr_clips
        train(making, model, "retrain", self.stage, retention, answers, lr_clips)
        retention.write(making.result / "retention.json")


def better(stages: Sequence[Stage]) -> Stage:
    """The one with the better metric."""
    return max(stages, key=lambda stage: stage.value)


def drop_of(metric: str, baseline: Stage, shortened: Stage, limit: float) -> Drop:
    """How much of the metric is lost, from the two stages' dev predictions; see `paired_drop`."""
    return paired_drop(metric, *predictions(baseline), predictions(shortened)[1], limit)


def predictions(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of the dev rows, (n,) each, or (n, C) of a multi-label task."""
    return read_predictions(stage.folder / "predictions.csv")
