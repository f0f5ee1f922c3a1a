"""powerbert retrain: re-train with extract layers that really shorten."""

from pathlib import Path
from typing import Any

from ..pipeline.chain import retrain
from ..pipeline.survivors import write_words
from ..pipeline.tested import write_test_metrics, write_test_predictions
from ..pipeline.work import Work
from ..report.tables import say_compression, say_metrics, say_retention, say_test_metrics
from ..settings import VERBS, RetrainSettings
from ..store.shipped import load_shortened
from . import folds


def run(cfg: Any) -> float:
    """Returns the headline metric of the shortened model."""
    return folds.run(cfg, VERBS["retrain"], _one)


def _one(work: Work[RetrainSettings], run_dir: Path) -> float:
    stage = retrain(work.settings, work)
    work.export(stage, run_dir)
    if work.settings.predict_test:
        write_test_predictions(work, stage.model_dir, run_dir)
    done = "shortened and re-trained" if work.settings.retrain.epochs else "shortened, not re-trained"
    value = say_metrics(run_dir / "metrics.json", done)
    say_test_metrics(write_test_metrics(work, stage.model_dir, run_dir))
    say_retention(stage.retention)
    say_compression(stage.model_dir)
    write_words(work, load_shortened(stage.model_dir), run_dir)
    return value
