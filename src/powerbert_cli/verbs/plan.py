"""powerbert VERB --plan: the stages of a command, finished or to be made; nothing runs."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import processes
from ..errors import PowerbertError
from . import VERBS, module_of

FLAG = "--plan"


def check(verb: str) -> None:
    """
    Raises:
        PowerbertError: the verb runs no stages.
    """
    if processes.count() > 1:
        raise PowerbertError(f"{FLAG} is for one process: leave torchrun out")
    planned = [name for name in VERBS if hasattr(module_of(name), "goals")]
    if verb not in planned:
        raise PowerbertError(f"{verb} {FLAG}: it runs no stages; those that do: {', '.join(planned)}")


@contextlib.contextmanager
def nowhere(verb: str) -> Iterator[list[str]]:
    """Overrides under which a command leaves nothing."""
    callbacks = ["failed_jobs", *(["sweep_report"] if verb == "sweep" else [])]
    with tempfile.TemporaryDirectory() as folder:
        places = [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]
        without = [f"~hydra.callbacks.{name}" for name in callbacks]
        yield [*places, "hydra/job_logging=screen", "hydra/launcher=basic", *without]


def task_function(cfg: Any) -> None:
    """What Hydra runs for each job of such a command. What the verb itself would refuse ends it."""
    try:
        _say(cfg)
    except PowerbertError as error:
        # past Hydra, which would announce an ordinary exception with lines of its own
        print(f"powerbert: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error


def _say(cfg: Any) -> None:
    """Prints the plan of a composed config, of each fold where there are several."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from ..report.plan_table import say_plan
    from .folds import each_fold
    from .prepare import check_meant, prepared

    hydra = HydraConfig.get()
    if not hydra.sweeper._target_.endswith(".BasicSweeper"):
        raise PowerbertError(f"{FLAG}: this sweeper chooses each job by those before it; there is no plan")
    module, job = module_of(hydra.job.name), hydra.job.override_dirname if hydra.mode == RunMode.MULTIRUN else ""
    output_dir = Path(cfg.output_dir)
    there = output_dir.exists()
    try:
        run = prepared(cfg, module.Settings, may_run=False)
    finally:
        if not there:  # that it can be made was tried
            with contextlib.suppress(OSError):
                output_dir.rmdir()
    check_meant(run.settings, may_fold=module.__name__.endswith(("finetune", "retrain")))
    for fold, one in each_fold(run):
        title = " ".join(text for text in (job, fold) if text)
        say_plan(one.runner.plan(module.goals(one), getattr(one.settings, "fresh", False)), title or "plan")
