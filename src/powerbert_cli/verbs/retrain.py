"""powerbert retrain: re-train with extract layers that really shorten."""

from pathlib import Path
from typing import Any

from ..recipes.words import write_words
from ..report.tables import say_compression, say_metrics, say_retention, say_test_metrics
from ..settings import VERBS, RetrainSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..stages.tested import write_test_metrics, write_test_predictions
from ..store.shipped import load_shortened
from ..store.stages import Stage
from . import folds
from .prepare import leave


def run(cfg: Any) -> float:
    """Returns the headline metric of the shortened model."""
    return folds.run(cfg, VERBS["retrain"], _one)


def _one(job: Run[RetrainSettings], run_dir: Path) -> float:
    stage = retrain(job)
    leave(job, stage, run_dir)
    if job.settings.predict_test:
        write_test_predictions(job.context, stage.model_dir, run_dir)
    done = "shortened and re-trained" if job.settings.retrain.epochs else "shortened, not re-trained"
    value = say_metrics(run_dir / "metrics.json", done)
    say_test_metrics(write_test_metrics(job.runner, job.graph.retrained, run_dir))
    say_retention(stage.retention)
    say_compression(stage.model_dir)
    write_words(job.context, load_shortened(stage.model_dir), run_dir)
    return value


def retrain(job: Run[RetrainSettings]) -> Stage:
    """Re-trains with the given retention configuration, or the one that the search of these settings finds."""
    return job.made(job.graph.retrained, job.settings.fresh)


def goals(job: Run[RetrainSettings]) -> list[Inputs]:
    """What there is to be made."""
    return [job.graph.retrained]
