"""Answers for the test split: the GLUE server's file, or a plain table for other tasks."""

import csv
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import numpy as np

from .. import processes
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..report.tables import say_metrics
from ..settings import FinetuneSettings, TaskSettings
from ..store.artifacts import read_json, whole_file, write_json
from ..store.model_dir import RETENTION, load_plain
from ..store.shipped import load_shortened
from ..tasks.metrics import predictions_of
from ..tasks.tokenizing import tokenize
from ..training.retraining import answers_of
from ..training.trainer import resolve_device
from .pipeline import Pipeline

log = logging.getLogger(__name__)


def write_test_predictions(
    model: ShortenedModel, settings: FinetuneSettings, pipeline: Pipeline, run_dir: Path
) -> None:
    """Answers the test split and writes `<name>.tsv` with columns index and prediction.

    For a GLUE task the file's name, its labels and its header are those that the server asks for.
    """
    if not processes.is_first():
        return
    test = pipeline.data.test
    assert test is not None  # or else the settings were refused
    tokens = _with_labels(tokenize(test.rows, pipeline.tokenizer, settings.seq_len))
    model.to(resolve_device(settings.device))
    collate = pipeline.material.collator(settings.training.padding)
    answers = answers_of(model, tokens, collate, settings.batch_size, precision="fp32", first=False)
    predictions = predictions_of(answers.logits, settings.task.kind)
    name = (settings.task.submission or {}).get("file", "test_predictions.tsv")
    with whole_file(run_dir / name) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "prediction"])
        writer.writerows(enumerate(_answers(predictions, settings.task)))
    log.info("test split: %d answers in %s", len(predictions), run_dir / name)


def _with_labels(tokens: datasets.Dataset) -> datasets.Dataset:
    """transformers' collator of multiple choices insists on labels."""
    return tokens if "labels" in tokens.column_names else tokens.add_column("labels", np.zeros(len(tokens), np.int64))


def say_test(pipeline: Pipeline, model_dir: Path, model: Callable[[], ShortenedModel], run_dir: Path) -> None:
    """Measures a model on the test split, if that has labels; test_metrics.json and a line of its own."""
    if not pipeline.data.tests:
        return
    stage = pipeline.tested(model_dir, model)
    if processes.is_first():
        write_json(run_dir / "test_metrics.json", read_json(stage.folder / "metrics.json"))
        say_metrics(run_dir / "test_metrics.json", "on the test split, which nothing was chosen on")


def plain_or_shortened(model_dir: Path, pipeline: Pipeline) -> ShortenedModel:
    """A model directory's model, shortened if it has a retention configuration."""
    if (model_dir / RETENTION).is_file():
        return load_shortened(model_dir)
    return ShortenedModel(load_plain(model_dir), plain(pipeline.settings.seq_len, pipeline.layers))


def _answers(predictions: np.ndarray, task: TaskSettings) -> Iterable[str]:
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
