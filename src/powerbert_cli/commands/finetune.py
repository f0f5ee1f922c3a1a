"""powerbert finetune: fine-tune a classifier, measure it on dev."""

from typing import Any

from ..pipeline.finetune import finetune
from ..pipeline.tested import write_test_metrics, write_test_predictions
from ..report.tables import say_metrics, say_run_dir, say_test_metrics
from ..settings import FinetuneSettings
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the headline metric."""
    work, run_dir = begin(cfg, FinetuneSettings)
    stage = finetune(work.settings, work)
    work.export(stage, run_dir)
    if work.settings.predict_test:
        write_test_predictions(work, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "fine-tuned")
    say_test_metrics(write_test_metrics(work, stage.model_dir, run_dir))
    say_run_dir(run_dir)
    return value
