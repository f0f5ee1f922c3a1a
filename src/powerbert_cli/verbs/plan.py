"""powerbert VERB --plan: the stages of a command, finished or to be made; nothing runs."""

from importlib import import_module
from typing import Any

from ..report.plan_table import say_plan
from ..settings import VERBS
from .prepare import prepared


def plan(cfg: Any, verb: str, job: str | None) -> None:
    """Prints the plan of a composed config.

    Args:
        job: of a multirun, what sets it apart.

    Raises:
        PowerbertError: whatever the verb itself would refuse before it begins.
    """
    cls: Any = VERBS[verb]
    run = prepared(cfg, cls, may_run=False)
    say_plan(run.runner.plan(import_module(f"powerbert_cli.verbs.{verb}").goals(run)), job)
