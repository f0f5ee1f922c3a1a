"""powerbert bench: time the shortened model against the plain one."""

from typing import Any

from ..bench.choice import headline
from ..pipeline.bench import bench, profiled
from ..report.profile_table import write_and_say_profile
from ..report.progress import TimingProgress
from ..report.tables import say_retention, say_run_dir, say_timing
from ..settings import VERBS
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the speed-up that counts, see `bench.choice.headline`; NaN where none does."""
    work, run_dir = begin(cfg, VERBS["bench"])
    with TimingProgress(work.settings.runtime.log_seconds) as told:
        found = bench(work.settings, work, run_dir, told)
    say_retention(found.retention)
    say_timing(found.timing, found.model_dir)
    if work.settings.bench.profile:
        write_and_say_profile(*profiled(work, found), run_dir)
    say_run_dir(run_dir)
    counts = headline(found.timing)
    return float("nan") if counts is None else counts.speedup
