"""powerbert finetune: fine-tune a classifier, measure it on dev."""

from pathlib import Path
from typing import Any

from ..pipeline.finetune import finetune
from ..pipeline.tested import write_test_metrics, write_test_predictions
from ..pipeline.work import Work
from ..report.tables import say_metrics, say_test_metrics
from ..settings import VERBS, FinetuneSettings
from . import folds


def run(cfg: Any) -> float:
    """Returns the headline metric."""
    return folds.run(cfg, VERBS["finetune"], _one)


def _one(work: Work[FinetuneSettings], run_dir: Path) -> float:
    stage = finetune(work.settings, work)
    work.export(stage, run_dir)
    if work.settings.predict_test:
        write_test_predictions(work, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "fine-tuned")
    say_test_metrics(write_test_metrics(work, stage.model_dir, run_dir))
    return value
