"""powerbert retrain: re-train with extract layers that really shorten."""

from typing import Any

from ..encoder.loading import host_config
from ..report.tables import say_metrics, say_retention, say_run_dir
from ..settings import RetrainSettings
from ..store.retention_file import RetentionFile
from ..store.stages import export
from .pipeline import Pipeline, retention_of
from .preflight import given_retention
from .rundir import begin


def run(cfg: Any) -> float:
    """Returns the headline metric of the shortened model."""
    settings, run_dir = begin(cfg, RetrainSettings)
    pipeline = Pipeline(settings, fresh="retrain" if settings.fresh else None)
    retention = retention_for(settings, pipeline)
    stage = pipeline.retrained(retention)
    export(stage.folder, run_dir)
    value = say_metrics(run_dir / "metrics.json", "shortened and re-trained")
    say_retention(retention)
    say_run_dir(run_dir)
    return value


def retention_for(settings: RetrainSettings, pipeline: Pipeline) -> RetentionFile:
    """The given retention configuration, or the one that the search of these settings finds."""
    return given_retention(settings, host_config(settings.start_model)) or retention_of(pipeline.searched())
