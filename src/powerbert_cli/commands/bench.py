"""powerbert bench: time the shortened model against the plain one."""

from typing import Any

from ..bench.table import headline
from ..pipeline.bench import bench, profiled
from ..report.profile_table import write_and_say_profile
from ..report.tables import say_retention, say_run_dir, say_timing
from ..settings import BenchSettings
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the speed-up in length-sorted batches, or of the last padding that was timed."""
    work, run_dir = begin(cfg, BenchSettings)
    found = bench(work.settings, work, run_dir)
    say_retention(found.retention)
    say_timing(found.timing)
    if work.settings.bench.profile:
        write_and_say_profile(*profiled(work, found), run_dir)
    say_run_dir(run_dir)
    return headline(found.timing)
