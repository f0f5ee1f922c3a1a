"""powerbert search: learn the retention configuration."""

from typing import Any

from ..report.tables import say_metrics, say_retention, say_run_dir
from ..settings import SearchSettings
from ..store.stages import export
from .pipeline import Pipeline, retention_of
from .rundir import begin


def run(cfg: Any) -> float:
    """Returns the share of word-vectors that is kept."""
    settings, run_dir = begin(cfg, SearchSettings)
    stage = Pipeline(settings, fresh="search" if settings.fresh else None).searched()
    export(stage.folder, run_dir)
    say_metrics(run_dir / "metrics.json", "with soft-extract layers")
    share = say_retention(retention_of(stage))
    say_run_dir(run_dir)
    return share
