"""What a plan says: the stages of a command, in their order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from .console import console
from .tables import plain_table, shown_path


class Step(Protocol):
    """See `stages.runner.Step`."""

    @property
    def folder(self) -> Path: ...
    @property
    def finished(self) -> bool: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def note(self) -> str: ...


def say_plan(steps: Sequence[Step], title: str) -> None:
    """Prints each stage, whether it is finished, and how long the process took that finished it."""
    if not steps:
        console.print(f"{title}: no stage runs")
        return
    shown = plain_table(title, {"stage": "left", "": "left", "took": "right"})
    for step in steps:
        state = "finished" if step.finished else "to be made"
        shown.add_row(str(shown_path(step.folder)), state, "" if step.seconds is None else f"{step.seconds:.1f} s")
    console.print(shown)
    for step in steps:
        if step.note and not step.finished:
            console.print(f"{step.folder.name}: {step.note}")
