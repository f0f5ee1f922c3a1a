"""powerbert search: learn the retention configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings.composed import SearchedSettings
from ..settings.search import Retention
from ..settings.training import Making

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "learn with soft-extract layers how many word-vectors each layer must keep"
DETAILS = "Without model_dir= the finished fine-tune of the same settings is used, or made."
EXAMPLES = [
    "powerbert search lambda=3e-3",
    "powerbert search task=rte lambda=3e-4 model_dir=RUN/model",
    "powerbert search -m lambda=1e-4,3e-4",
    "powerbert search searcher=calibrate retention.kind=relative target.flops=0.5",
]


@dataclass(kw_only=True)
class Settings(Making, Retention, SearchedSettings):
    @property
    def weights_do(self) -> bool:
        return self.searcher != "soft"  # one model for many budgets


def run(cfg: Any) -> float:
    """Returns the share of word-vectors that is kept."""
    from ..report.tables import say_metrics, say_retention, say_run_dir
    from .prepare import begin, leave

    job, run_dir = begin(cfg, Settings)
    stage = job.made(goals(job)[0], job.settings.fresh)
    leave(job, stage, run_dir)
    how = "with soft-extract layers" if job.settings.searcher == "soft" else "shortened, not re-trained"
    say_metrics(run_dir / "metrics.json", how)
    share = say_retention(stage.retention)
    say_run_dir(run_dir)
    return share


def goals(job: Run[Settings]) -> list[Inputs]:
    return job.graph.to_make(job.graph.searched)
