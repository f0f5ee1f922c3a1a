"""The test split, which nothing is chosen on: a finished model's metric there, and its answers as a file."""

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .. import processes
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain, to_keys
from ..settings import TaskSettings
from ..store.artifacts import whole_file, write_json
from ..store.model_dir import RETENTION, fingerprint, load_plain
from ..store.shipped import load_shortened
from ..store.stages import Stage
from ..tasks.metrics import predictions_of
from ..tasks.sources import Rows
from ..tasks.tokenizing import tokenize
from ..training.run import Trained
from .finetune import layers
from .record import Record
from .trained import write_results
from .work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TestedRecord(Record):
    """
    Attributes:
        test: content of the test rows.
        model: content of the model that answers; elimination: of a shortened one.
        kind, metric: of the task.
    """

    STAGE: ClassVar[str] = "tested"

    test: str
    model: str
    elimination: dict[str, Any]
    kind: str
    metric: str


def tested(work: Work, model_dir: Path) -> Stage:
    """The metric of a finished model on the test split."""
    settings, model = work.settings, _plain_or_shortened(work, model_dir)
    record = TestedRecord(
        **work.common(),
        test=_test_rows(work).content,
        model=fingerprint(model_dir),
        elimination=to_keys(model.elimination),
        kind=settings.task.kind,
        metric=settings.task.metric,
    )
    return work.ensure(record, partial(_make, work, model))


def _make(work: Work, model: ShortenedModel, result: Path, checkpoints: Path) -> None:
    test = _test_rows(work)
    log.info("measuring %d test rows", len(test))
    logits = _answers(work, model, "longest")
    found = Trained(logits.astype(np.float64), test.labels, pd.DataFrame())
    write_results(found, work.settings.task, work.settings.seed, result, split="test")


def _test_rows(work: Work) -> Rows:
    assert work.data.test is not None  # or else the settings were refused, or nobody asked
    return work.data.test


def _answers(work: Work, model: ShortenedModel, padding: str) -> np.ndarray:
    tokens = tokenize(_test_rows(work).rows, work.tokenizer, work.settings.seq_len)
    return work.answers(model, tokens, padding=padding).logits


def _plain_or_shortened(work: Work, model_dir: Path) -> ShortenedModel:
    """A model directory's model, shortened if it has a retention configuration."""
    if (model_dir / RETENTION).is_file():
        return load_shortened(model_dir)
    return ShortenedModel(load_plain(model_dir), plain(work.settings.seq_len, layers(work)))


def write_test_metrics(work: Work, model_dir: Path, run_dir: Path) -> Path | None:
    """Measures a model on the test split: test_metrics.json; None if that has no labels, or another process writes."""
    stage = tested(work, model_dir) if work.data.tests else None
    if stage is None or not processes.is_main():
        return None
    write_json(run_dir / "test_metrics.json", stage.metrics)
    return run_dir / "test_metrics.json"


def write_test_predictions(work: Work, model_dir: Path, run_dir: Path) -> None:
    """Answers the test split and writes `<name>.tsv` with columns index and prediction.

    For a GLUE task the file's name, its labels and its header are those that the server asks for.
    """
    if not processes.is_main():
        return
    task = work.settings.task
    logits = _answers(work, _plain_or_shortened(work, model_dir), work.settings.training.padding)
    predictions = predictions_of(logits, task.kind)
    name = (task.submission or {}).get("file", "test_predictions.tsv")
    with whole_file(run_dir / name) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "prediction"])
        writer.writerows(enumerate(_as_in_the_file(predictions, task)))
    log.info("test split: %d answers in %s", len(predictions), run_dir / name)


def _as_in_the_file(predictions: np.ndarray, task: TaskSettings) -> Iterable[str]:
    """Each prediction as the file has it: a label name, its number, or a value in the task's range."""
    if task.submission is not None:
        labels = task.submission["labels"]
        if task.kind == "regression":  # STS-B: similarity from 0 to 5
            return (f"{min(5.0, max(0.0, float(value))):.3f}" for value in predictions)
        return (labels[int(value)] if labels else str(int(value)) for value in predictions)
    names = task.label_names
    if names is None:
        return (f"{float(value):.6g}" for value in predictions)
    if task.kind == "multi_label":
        return (",".join(name for name, on in zip(names, row, strict=True) if on) for row in predictions)
    return (names[int(value)] for value in predictions)
