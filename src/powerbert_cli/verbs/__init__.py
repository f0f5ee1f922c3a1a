"""The verbs, a file each: its settings, its texts, and what it does. Nothing heavy is imported before it runs.

A verb's module has `SUMMARY` and `EXAMPLES`, maybe `DETAILS`, for help; `Settings`; `run(cfg)`; and, if it runs stages,
`goals(job)`: the inputs of what there is to be made. `PLAIN` ones take folders, not keys: they have `HELP` and
`run(args)` instead.
"""

from importlib import import_module
from typing import Any

VERBS = ("check", "finetune", "compress", "search", "retrain", "bench", "sweep", "export", "predict", "study")
PLAIN = ("report", "push")


def module_of(verb: str) -> Any:
    return import_module(f"{__name__}.{verb}")


def settings_of(verb: str) -> type[Any]:
    """The typed settings of a verb that takes keys."""
    found: type[Any] = module_of(verb).Settings
    return found
