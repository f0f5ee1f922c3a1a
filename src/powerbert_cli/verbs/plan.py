"""powerbert VERB --plan: the stages of a command, finished or to be made; nothing runs."""

from typing import Any

from ..report.plan_table import say_plan
from . import module_of
from .prepare import prepared


def plan(cfg: Any, verb: str, job: str | None) -> None:
    """Prints the plan of a composed config.

    Args:
        job: of a multirun, what sets it apart.

    Raises:
        PowerbertError: whatever the verb itself would refuse before it begins.
    """
    module = module_of(verb)
    run = prepared(cfg, module.Settings, may_run=False)
    say_plan(run.runner.plan(module.goals(run)), job)
