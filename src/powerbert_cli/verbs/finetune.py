"""powerbert finetune: fine-tune a classifier, measure it on dev."""

from pathlib import Path
from typing import Any

from ..report.tables import say_metrics, say_test_metrics
from ..settings import VERBS, FinetuneSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..stages.tested import write_test_metrics, write_test_predictions
from ..store.stages import Stage
from . import folds
from .prepare import leave


def run(cfg: Any) -> float:
    """Returns the headline metric."""
    return folds.run(cfg, VERBS["finetune"], _one)


def _one(job: Run[FinetuneSettings], run_dir: Path) -> float:
    stage = finetune(job)
    leave(job, stage, run_dir)
    if job.settings.predict_test:
        write_test_predictions(job.context, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "fine-tuned")
    say_test_metrics(write_test_metrics(job.runner, job.graph.finetuned, run_dir))
    return value


def finetune(job: Run[FinetuneSettings]) -> Stage:
    """Fine-tunes a classifier, or finds that it is done."""
    return job.made(goals(job)[0], job.settings.fresh)


def goals(job: Run[FinetuneSettings]) -> list[Inputs]:
    """What there is to be made."""
    return [model] if isinstance(model := job.graph.finetuned, Inputs) else []
