"""The test split, which nothing is chosen on: its metric where it has labels, and predictions of it."""

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import datasets
import numpy as np
import pandas as pd

from .. import processes
from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..models.kinds import load_shortened
from ..models.model_dir import RETENTION, load_plain
from ..settings import TaskSettings
from ..store.artifacts import whole_file, write_json
from ..store.stages import Stage
from ..tasks.sources import Rows
from ..tasks.tokenizing import tokenize
from ..training.run import Trained
from .context import Context
from .inputs import Inputs, Making, Source
from .runner import Runner
from .trained import write_results

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Tested(Inputs):
    """The metric of a finished model on the test split.

    Attributes:
        test: content of the test rows.
        model: that answers.
        kind, metric: of the task.
    """

    STAGE: ClassVar[str] = "tested"

    test: str
    model: Source
    kind: str
    metric: str

    @classmethod
    def of(cls, context: Context, model: Source) -> "Tested":
        task = context.settings.task
        test = _test_rows(context).content
        return cls(**context.common(), test=test, model=model, kind=task.of_kind.decides, metric=task.metric)

    def make(self, making: Making) -> None:
        context, test = making.context, _test_rows(making.context)
        log.info("measuring %d test rows", len(test))
        rows = _encoded(context)
        logits = context.answers(_plain_or_shortened(context, making.model_dir(self.model)), rows).logits
        found = Trained(logits.astype(np.float64), rows, pd.DataFrame())
        write_results(found, context.settings.task, context.settings.seed, making.result, split="test")


def tested(runner: Runner, model: Source) -> Stage:
    """The metric of a model on the test split."""
    return runner.run(Tested.of(runner.context, model))


def _test_rows(context: Context) -> Rows:
    assert context.data.test is not None  # or else the settings were refused, or nobody asked
    return context.data.test


def _encoded(context: Context) -> datasets.Dataset:
    kind, seq_len = context.settings.task.of_kind, context.settings.seq_len
    return tokenize(_test_rows(context).rows, kind, context.processor, seq_len)


def _plain_or_shortened(context: Context, model_dir: Path) -> ShortenedModel:
    """A model directory's model, shortened if it has a retention configuration."""
    if (model_dir / RETENTION).is_file():
        return load_shortened(model_dir)
    host = load_plain(model_dir)
    return ShortenedModel(host, plain(context.settings.seq_len, layers_of(host.config)))


def write_test_metrics(runner: Runner, model: Source, run_dir: Path) -> Path | None:
    """Measures a model on the test split: test_metrics.json; None if that has no labels, or another process writes."""
    stage = tested(runner, model) if runner.context.data.tests else None
    if stage is None or not processes.is_main():
        return None
    write_json(run_dir / "test_metrics.json", stage.metrics)
    return run_dir / "test_metrics.json"


def write_test_predictions(context: Context, model_dir: Path, run_dir: Path) -> None:
    """Answers the test split and writes `<name>.tsv` with columns index and prediction.

    For a GLUE task the file's name, its labels and its header are those that the server asks for.
    """
    if not processes.is_main():
        return
    task = context.settings.task
    rows, padding = _encoded(context), context.settings.training.padding
    logits = context.answers(_plain_or_shortened(context, model_dir), rows, padding=padding).logits
    answers = list(_as_in_the_file(logits, rows, task))
    name = (task.submission or {}).get("file", "test_predictions.tsv")
    with whole_file(run_dir / name) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "prediction"])
        writer.writerows(enumerate(answers))
    log.info("test split: %d answers in %s", len(answers), run_dir / name)


def _as_in_the_file(logits: np.ndarray, rows: datasets.Dataset, task: TaskSettings) -> Iterable[str]:
    """Each prediction as the file has it: as its kind writes it, or as the GLUE server wants it."""
    kind = task.of_kind
    if task.submission is None:
        return kind.written(logits, rows)
    labels, predictions = task.submission["labels"], kind.predictions(logits, rows)
    if kind.VALUES:  # STS-B: similarity from 0 to 5
        return (f"{min(5.0, max(0.0, float(value))):.3f}" for value in predictions)
    return (labels[int(value)] if labels else str(int(value)) for value in predictions)
