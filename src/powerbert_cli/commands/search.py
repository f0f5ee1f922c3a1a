"""powerbert search: learn the retention configuration."""

from typing import Any

from ..pipeline.search import search
from ..report.tables import say_metrics, say_retention, say_run_dir
from ..settings import VERBS
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the share of word-vectors that is kept."""
    work, run_dir = begin(cfg, VERBS["search"])
    stage = search(work.settings, work)
    work.export(stage, run_dir)
    how = "with soft-extract layers" if work.settings.searcher == "soft" else "shortened, not re-trained"
    say_metrics(run_dir / "metrics.json", how)
    share = say_retention(stage.retention)
    say_run_dir(run_dir)
    return share
