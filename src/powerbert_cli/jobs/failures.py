"""Jobs of a multirun that failed: each ends alone, and all of them stand in a table at the end."""

import contextlib
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback

FAILED = "failed.json"
log = logging.getLogger(__name__)


def note(error: Exception) -> None:
    """Writes down why the job under way failed.

    Raises:
        Exception: the error itself, where a sweeper has to know of it: all but Hydra's own need a result.
    """
    from ..errors import PowerbertError
    from ..store.artifacts import write_json

    hydra = HydraConfig.get()
    reason = (str(error).splitlines() or [""])[0]
    if not isinstance(error, PowerbertError):
        log.debug("unexpected error", exc_info=True)
        reason = f"unexpected {type(error).__name__}: {reason} (traceback in the job's log)"
    job = {"job": hydra.job.num, "overrides": list(hydra.overrides.task), "reason": reason}
    write_json(Path(hydra.runtime.output_dir) / FAILED, job)
    log.error("job %s failed: %s", hydra.job.num, reason)
    if not hydra.sweeper._target_.endswith(".BasicSweeper"):
        raise error


def leave_nothing(run_dir: Path, output_dir: Path) -> None:
    """Removes a run directory in which nothing was made, and the folders above it that are empty then."""
    paths = [path for path in run_dir.rglob("*") if path.is_file()]
    if any(path.parent.name != ".hydra" and path.suffix != ".log" for path in paths):
        return
    shutil.rmtree(run_dir, ignore_errors=True)
    for folder in (run_dir.parent, run_dir.parent.parent, output_dir):
        with contextlib.suppress(OSError):  # it holds other runs, or is where the user stands
            if folder.is_relative_to(output_dir) and not folder.samefile(Path.cwd()):
                folder.rmdir()


class FailedJobs(Callback):
    """Hydra callback of all verbs: with -m it names the jobs that failed, and leaves with 1 if there are any."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        self.folder = Path(config.hydra.sweep.dir)
        for path in self.folder.glob(f"*/{FAILED}"):  # of an earlier call into the same folder
            path.unlink()

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self.folder.glob(f"*/{FAILED}")]
        if not found:
            return
        jobs = len([path for path in self.folder.iterdir() if path.name.isdigit()])
        print(f"powerbert: {len(found)} of {jobs} jobs failed:", file=sys.stderr)
        for job in sorted(found, key=lambda job: job["job"]):
            print(f"  {job['job']}  {' '.join(job['overrides'])}: {job['reason']}", file=sys.stderr)
        raise SystemExit(1)  # an ordinary exception of a callback is only a warning to Hydra
