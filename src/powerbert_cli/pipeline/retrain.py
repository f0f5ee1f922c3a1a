"""Re-training with extract layers that really drop, and the plain model trained as long: its baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..compress.layers import patient_states
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain, to_keys
from ..settings import RetrainStage, SearchSettings
from ..store.retention_file import RetentionFile
from ..store.stages import Stage
from ..tasks.classes import read_predictions
from ..tasks.metrics import Drop, paired_drop
from .compress import compressed
from .finetune import finetuned, layers
from .quantise import quantise
from .record import MeasuredRecord
from .teacher import teacher
from .trained import train
from .work import Start, Work


@dataclass(frozen=True, kw_only=True)
class RetrainRecord(MeasuredRecord):
    """
    Attributes:
        start: content of the model that is re-trained.
        elimination: with its retention configuration.
        stage: epochs, learning rate and options.
        teacher: content of the model that is distilled; None without distillation.
        bits: of the linear layers, where not all have 32.
    """

    STAGE: ClassVar[str] = "retrain"

    start: str
    elimination: dict[str, Any]
    stage: dict[str, Any]
    teacher: str | None
    bits: dict[str, Any]

    def decides(self) -> dict[str, Any]:
        return {name: value for name, value in super().decides().items() if name != "bits" or value}


def retrained(
    work: Work[SearchSettings],
    retention: RetentionFile,
    start: Start | None = None,
    stage: RetrainStage | None = None,
    fresh: bool = False,
    with_bits: bool = True,
) -> Stage:
    """Re-training with a retention configuration, of the fine-tuned or compressed model unless told another start.

    Args:
        with_bits: that the settings give to linear layers.
    """
    begin, how = start or compressed(work), stage or work.settings.retrain
    record = RetrainRecord(
        **work.measured(how, scores=True),
        start=begin.identity,
        elimination=to_keys(retention.elimination),
        stage=how.decides(),
        teacher=finetuned(work).identity if how.distills else None,
        bits=work.settings.compress.decides_bits() if with_bits else {},
    )
    return work.ensure(record, partial(_make, work, begin, how, retention, bool(record.bits)), fresh)


def _make(
    work: Work[SearchSettings],
    begin: Start,
    how: RetrainStage,
    retention: RetentionFile,
    with_bits: bool,
    result: Path,
    checkpoints: Path,
) -> None:
    model = ShortenedModel(work.host(begin.model_dir), retention.elimination)
    if with_bits:
        quantise(work, model)
    answers = None
    if how.distills and how.epochs:
        patient = patient_states(layers(work), model.layers, how.patient_layers) if how.patient else ()
        answers = teacher(work, (*patient, *((-1,) if how.distill_cls else ())))
    lr_clips = work.settings.compress.lr_clips
    train(work, model, "retrain", how, result, checkpoints, retention, answers, lr_clips)
    retention.write(result / "retention.json")


def start_after(work: Work[SearchSettings], search: Stage) -> Start:
    """What re-training starts from: what search did, or with variant.retrain_from=searched what it ended with."""
    return Start(search.model_dir) if work.settings.variant.retrain_from == "searched" else compressed(work)


def baselines(work: Work[SearchSettings]) -> tuple[Stage, Stage]:
    """The plain model as it is, and with as many epochs more as a shortened one has."""
    settings = work.settings
    full = RetentionFile(plain(settings.seq_len, layers(work)), task=settings.task.name)
    longer = settings.retrain.plain()
    start = finetuned(work)
    as_it_is = start.stage or retrained(work, full, start, replace(longer, epochs=0), with_bits=False)
    return as_it_is, retrained(work, full, start, longer, with_bits=False)


def better(stages: Sequence[Stage]) -> Stage:
    """The one with the better metric."""
    return max(stages, key=lambda stage: stage.value)


def drop_of(metric: str, baseline: Stage, shortened: Stage, limit: float) -> Drop:
    """How much of the metric is lost, from the two stages' dev predictions; see `paired_drop`."""
    return paired_drop(metric, *predictions(baseline), predictions(shortened)[1], limit)


def predictions(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of the dev rows, (n,) each, or (n, C) of a multi-label task."""
    return read_predictions(stage.folder / "predictions.csv")
