"""powerbert search: learn the retention configuration."""

from typing import Any

from ..report.tables import say_metrics, say_retention, say_run_dir
from ..settings import VERBS, SearchSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..store.stages import Stage
from .prepare import begin, leave


def run(cfg: Any) -> float:
    """Returns the share of word-vectors that is kept."""
    job, run_dir = begin(cfg, VERBS["search"])
    stage = search(job)
    leave(job, stage, run_dir)
    how = "with soft-extract layers" if job.settings.searcher == "soft" else "shortened, not re-trained"
    say_metrics(run_dir / "metrics.json", how)
    share = say_retention(stage.retention)
    say_run_dir(run_dir)
    return share


def search(job: Run[SearchSettings]) -> Stage:
    """Finds a retention configuration, or finds that it is known; fine-tunes first where no model is given."""
    return job.made(job.graph.searched, job.settings.fresh)


def goals(job: Run[SearchSettings]) -> list[Inputs]:
    """What there is to be made."""
    return [job.graph.searched]
