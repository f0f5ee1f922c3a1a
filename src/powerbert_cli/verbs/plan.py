"""powerbert VERB --plan: the stages of a command, finished or to be made; nothing runs."""

from typing import Any

from ..report.plan_table import say_plan
from . import module_of
from .folds import each_fold
from .prepare import prepared


def plan(cfg: Any, verb: str, job: str | None) -> None:
    """Prints the plan of a composed config, of each fold where there are several.

    Args:
        job: of a multirun, what sets it apart.

    Raises:
        PowerbertError: whatever the verb itself would refuse before it begins.
    """
    module = module_of(verb)
    run = prepared(cfg, module.Settings, may_run=False)
    for name, one in each_fold(run):
        say_plan(one.runner.plan(module.goals(one)), " ".join(text for text in (job, name) if text) or None)
