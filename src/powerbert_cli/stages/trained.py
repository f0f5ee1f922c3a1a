"""A training, and what it leaves: the model, its metrics on dev and its predictions."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ..encoder.families import layers_of
from ..encoder.quantising import bake
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..models.model_dir import save_model_dir
from ..settings import RetrainStage, StageSettings, TaskSettings
from ..store.artifacts import write_csv, write_json
from ..store.retention_file import RetentionFile
from ..tasks.batches import Answers
from ..tasks.metrics import all_scores, interval
from ..tasks.predictions import prediction_table
from ..training.classifier import train_classifier
from ..training.run import Trained
from .context import Context
from .inputs import Making

log = logging.getLogger(__name__)


def train(
    making: Making,
    model: ShortenedModel,
    name: str,
    stage: StageSettings,
    retention: RetentionFile | None = None,
    teacher: Answers | None = None,
    lr_clips: float = 0.0,
) -> None:
    """Trains a classifier with its extract layers, or measures it as it is, into the result folder.

    Args:
        retention: of a shortened model.
        teacher: the fine-tuned model's answers on the training rows, where the stage distils.
        lr_clips: see `train_classifier`.
    """
    context, result = making.context, making.result
    label = context.settings.start_model.label
    if stage.epochs:
        log.info("%s: %s, %d epochs, lr %g", name, label, stage.epochs, stage.lr)
    else:
        log.info("%s: %s is measured on dev, not trained", name, label)
    options = stage if isinstance(stage, RetrainStage) else None
    material, plan = context.material, context.plan(stage)
    with context.followed(name, making.checkpoints) as callbacks:
        trained = train_classifier(model, material, plan, making.checkpoints, callbacks, options, teacher, lr_clips)
    bake(model.host)
    save_model_dir(result / "model", model.host, context.processor, retention)
    write_results(trained, context.settings.task, context.settings.seed, result, best_of=epochs_of(trained))


def epochs_of(trained: Trained) -> int:
    """How many epochs ran, each of which was measured on dev; early stopping may have left out the last ones."""
    measured = [name for name in trained.history if str(name).startswith("eval_loss")]
    return int(trained.history[measured[0]].notna().sum()) if measured else 0


def measure(context: Context, model_dir: Path, folder: Path) -> None:
    """Measures a plain classifier on dev as it is: metrics.json and predictions.csv."""
    settings, host = context.settings, context.host(model_dir)
    model = ShortenedModel(host, plain(settings.seq_len, layers_of(host.config)))
    dev = context.material.dev
    logits = context.answers(model, dev).logits.astype(np.float64)
    write_results(Trained(logits, dev, pd.DataFrame()), settings.task, settings.seed, folder)


def write_results(
    trained: Trained, task: TaskSettings, seed: int, folder: Path, split: str = "dev", best_of: int = 1
) -> None:
    """metrics.json, predictions.csv and, of a training, history.csv of a split.

    Args:
        best_of: epochs of which the best one on these very rows was kept, which flatters it.
    """
    kind = task.of_kind
    labels, predictions = kind.labels(trained.rows), kind.predictions(trained.logits, trained.rows)
    low, high = interval(task.metric, labels, predictions)
    scores = all_scores(task.metric, labels, predictions)
    metrics = {
        "task": task.name,
        "split": split,
        "best_of_epochs": best_of if best_of > 1 else None,
        "metric": task.metric,
        "value": scores[task.metric],
        "interval": [low, high],
        "n": len(labels),
        "seed": seed,
        **{name: value for name, value in scores.items() if name != task.metric},
    }
    write_json(folder / "metrics.json", metrics)
    write_csv(folder / "predictions.csv", prediction_table(labels, predictions, trained.logits))
    if len(trained.history):  # a model that is only measured has none
        write_csv(folder / "history.csv", trained.history)
