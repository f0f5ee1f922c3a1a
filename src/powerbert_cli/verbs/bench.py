"""powerbert bench: time the shortened model against the plain one."""

from typing import Any

from ..bench.choice import headline
from ..recipes.bench import bench, profiled
from ..recipes.timed_models import goal_of
from ..report.profile_table import write_and_say_profile
from ..report.progress import TimingProgress
from ..report.tables import say_retention, say_run_dir, say_timing
from ..settings import VERBS, BenchSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the speed-up that counts, see `bench.choice.headline`; NaN where none does."""
    job, run_dir = begin(cfg, VERBS["bench"])
    with TimingProgress(job.settings.runtime.log_seconds) as told:
        found = bench(job, run_dir, told)
    say_retention(found.retention)
    say_timing(found.timing, found.model_dir)
    if job.settings.bench.profile:
        write_and_say_profile(*profiled(job, found), run_dir)
    say_run_dir(run_dir)
    counts = headline(found.timing)
    return float("nan") if counts is None else counts.speedup


def goals(job: Run[BenchSettings]) -> list[Inputs]:
    """What there is to be made before anything is timed."""
    return [goal] if (goal := goal_of(job)) else []
