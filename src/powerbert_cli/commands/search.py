"""powerbert search: learn the retention configuration."""

from typing import Any

from ..report.tables import say_metrics, say_retention, say_run_dir
from ..settings import SearchSettings
from .pipeline import Pipeline
from .rundir import begin
from .search_stage import retention_of, searched


def run(cfg: Any) -> float:
    """Returns the share of word-vectors that is kept."""
    settings, run_dir = begin(cfg, SearchSettings)
    pipeline = Pipeline(settings, fresh="search" if settings.fresh else None)
    stage = searched(pipeline)
    pipeline.export(stage, run_dir)
    how = "with soft-extract layers" if settings.searcher == "soft" else "shortened, not re-trained"
    say_metrics(run_dir / "metrics.json", how)
    share = say_retention(retention_of(stage))
    say_run_dir(run_dir)
    return share
