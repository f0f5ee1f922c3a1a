"""Re-training with extract layers that really drop, and the plain model trained as long: its baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..compress.layers import patient_states
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain, to_keys
from ..settings import RetrainStage, SearchSettings
from ..store.retention_file import RetentionFile
from ..store.stages import Stage
from ..tasks.metrics import Drop, paired_drop
from .compress import compressed
from .finetune import finetuned, layers
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
    """

    STAGE: ClassVar[str] = "retrain"

    start: str
    elimination: dict[str, Any]
    stage: dict[str, Any]
    teacher: str | None


def retrained(
    work: Work[SearchSettings],
    retention: RetentionFile,
    start: Start | None = None,
    stage: RetrainStage | None = None,
    fresh: bool = False,
) -> Stage:
    """Re-training with a retention configuration, of the fine-tuned or compressed model unless told another start."""
    begin, how = start or compressed(work), stage or work.settings.retrain
    record = RetrainRecord(
        **work.measured(how, scores=True),
        start=begin.identity,
        elimination=to_keys(retention.elimination),
        stage=how.decides(),
        teacher=finetuned(work).identity if how.distills else None,
    )
    return work.ensure(record, partial(_make, work, begin, how, retention), fresh)


def _make(
    work: Work[SearchSettings],
    begin: Start,
    how: RetrainStage,
    retention: RetentionFile,
    result: Path,
    checkpoints: Path,
) -> None:
    model = ShortenedModel(work.host(begin.model_dir), retention.elimination)
    answers = None
    if how.distills and how.epochs:
        patient = patient_states(layers(work), model.layers, how.patient_layers) if how.patient else ()
        answers = teacher(work, (*patient, *((-1,) if how.distill_cls else ())))
    train(work, model, "retrain", how, result, checkpoints, retention, answers)
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
    as_it_is = start.stage or retrained(work, full, start, replace(longer, epochs=0))
    return as_it_is, retrained(work, full, start, longer)


def better(stages: Sequence[Stage]) -> Stage:
    """The one with the better metric."""
    return max(stages, key=lambda stage: stage.value)


def drop_of(metric: str, baseline: Stage, shortened: Stage, limit: float) -> Drop:
    """How much of the metric is lost, from the two stages' dev predictions; see `paired_drop`."""
    return paired_drop(metric, *predictions(baseline), predictions(shortened)[1], limit)


def predictions(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of the dev rows, (n,) each, or (n, C) of a multi-label task."""
    table = pd.read_csv(stage.folder / "predictions.csv")
    return _values(table, "label"), _values(table, "prediction")


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column, or the columns of a multi-label task side by side."""
    if name in table:
        return table[name].to_numpy()
    return table[[column for column in table if str(column).startswith(f"{name}_")]].to_numpy()
