"""Cross-validation: a verb's run once for each fold, and what the folds say together."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..report.tables import say_metrics, say_run_dir, say_test_metrics
from ..settings.composed import TrainedSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..stages.tested import write_test_metrics, write_test_predictions
from ..store.artifacts import read_json, write_csv, write_json
from ..store.stages import Stage
from ..tasks.metrics import range_of, spread
from .classes_file import write_classes
from .prepare import begin, leave

log = logging.getLogger(__name__)
S = TypeVar("S", bound=TrainedSettings)


def run(cfg: Any, cls: type[S], one: Callable[[Run[S], Path], float]) -> float:
    """Runs a verb, or with task.folds and without task.fold each fold of it in a folder of its own.

    Args:
        one: (run, folder) → writes a run's results into the folder, says them, and gives the headline metric.

    Returns:
        The headline metric; over folds its mean.
    """
    job, run_dir = begin(cfg, cls, may_fold=True)
    task = job.settings.task
    if task.folds is None or task.fold is not None:
        value = one(job, run_dir)
        say_run_dir(run_dir)
        return value
    for fold, (name, of_fold) in enumerate(each_fold(job), 1):
        log.info("fold %d of %d", fold, task.folds)
        one(of_fold, run_dir / name)
    write_folds(run_dir, task.folds)
    write_classes(run_dir, task.kind, task.label_names)
    value = say_metrics(run_dir / "metrics.json", f"mean of {task.folds} folds")
    say_run_dir(run_dir)
    return value


def made(job: Run[Any], goal: Inputs, run_dir: Path, done: str) -> tuple[Stage, float]:
    """Has a model made, puts it into a folder with its answers on the test split, and says its metrics.

    Args:
        done: what was done, in words.

    Returns:
        The stage, and the headline metric.
    """
    stage = job.made(goal, job.settings.fresh)
    leave(job, stage, run_dir)
    if job.settings.predict_test:
        write_test_predictions(job.context, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", done)
    say_test_metrics(write_test_metrics(job.runner, goal, run_dir))
    return stage, value


def each_fold(job: Run[S]) -> Iterator[tuple[str, Run[S]]]:
    """Each fold, with the name of its folder, where the settings have several; else the settings as they are."""
    task = job.settings.task
    if task.folds is None or task.fold is not None:
        yield "", job
        return
    for fold in range(task.folds):
        yield f"fold-{fold}", Run(replace(job.settings, task=replace(task, fold=fold)), job.context.events)


def write_folds(run_dir: Path, folds: int) -> None:
    """metrics.json with the mean over folds and its 95% t-interval, and predictions.csv with every fold's rows.

    The folds' training rows overlap, so their metrics vary less than those of independent samples would
    (Bengio and Grandvalet, 2004), and the interval is somewhat too narrow.
    """
    found = [read_json(run_dir / f"fold-{fold}" / "metrics.json") for fold in range(folds)]
    over = spread(np.array([metrics["value"] for metrics in found]), range_of(found[0]["metric"]))
    metrics = {
        **{name: found[0][name] for name in ("task", "metric", "seed")},
        "best_of_epochs": _epochs([metrics["best_of_epochs"] for metrics in found]),
        "split": f"{folds} folds",
        "value": over.mean,
        "interval": [over.low, over.high],
        "std": over.std,
        "n": sum(metrics["n"] for metrics in found),
        "folds": [metrics["value"] for metrics in found],
    }
    write_json(run_dir / "metrics.json", metrics)
    tables = [pd.read_csv(run_dir / f"fold-{fold}" / "predictions.csv").assign(fold=fold) for fold in range(folds)]
    write_csv(run_dir / "predictions.csv", pd.concat(tables, ignore_index=True))


def _epochs(found: list[int | None]) -> int | str | None:
    """Of how many the best was kept; where early stopping ended folds after different numbers, from the least on."""
    least, most = (of(epochs or 1 for epochs in found) for of in (min, max))
    if most == 1:
        return None
    return most if least == most else f"{least} to {most}"
