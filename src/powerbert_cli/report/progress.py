"""Progress of a training or a timing: a bar on a terminal, plain lines elsewhere."""

import logging
import time
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState

from .console import console

log = logging.getLogger(__name__)


class TrainingProgress(TrainerCallback):
    """Shows stage, epoch, step, loss, dev metric, λ·Σ j·mass and the time left.

    Args:
        stage: name to show.
        metric: headline metric, shown after each epoch.
        seconds: between plain lines when the output is no terminal.
    """

    def __init__(self, stage: str, metric: str, seconds: float) -> None:
        self.stage, self.metric, self.seconds = stage, metric, seconds
        self.shown: dict[str, float] = {}
        self.bar: Progress | None = None
        self.task: Any = None
        self.started = self.last_line = 0.0
        self.first_step = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.started = self.last_line = time.monotonic()
        self.first_step = state.global_step
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"))
            self.bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self.task = self.bar.add_task(self.stage, total=state.max_steps, completed=state.global_step, numbers="")
            self.bar.start()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        search = next((row for row in reversed(state.log_history[-3:]) if "regularizer" in row), None)
        if search is not None:
            self.shown["loss"] = search.get("task_loss", float("nan"))
            self.shown["λ·Σj·mass"] = search["regularizer"]
        numbers = self._numbers(args, state)
        if self.bar is not None:
            self.bar.update(self.task, completed=state.global_step, numbers=numbers)
        elif time.monotonic() - self.last_line >= self.seconds:
            self.last_line = time.monotonic()
            log.info("%s: %s, %s left", self.stage, numbers, self._left(state))

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs and "λ·Σj·mass" not in self.shown:
            self.shown["loss"] = float(logs["loss"])

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        if metrics and f"eval_{self.metric}" in metrics:
            self.shown[self.metric] = metrics[f"eval_{self.metric}"]
            log.info("%s: %s", self.stage, self._numbers(args, state))

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar off the screen, also after an error."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _numbers(self, args: Any, state: TrainerState) -> str:
        parts = [
            f"epoch {state.epoch or 0:.1f}/{args.num_train_epochs:g}",
            f"step {state.global_step}/{state.max_steps}",
        ]
        return ", ".join(parts + [f"{name} {value:.4g}" for name, value in self.shown.items()])

    def _left(self, state: TrainerState) -> str:
        done = state.global_step - self.first_step
        seconds = (time.monotonic() - self.started) / max(1, done) * (state.max_steps - state.global_step)
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class TimingProgress:
    """Shows what a bench does now: `with TimingProgress(seconds) as told`, and `told` hears it.

    The bar is drawn in the calls alone, between what is timed: a thread that drew it would run beside.

    Args:
        seconds: between plain lines when the output is no terminal.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.bar: Progress | None = None

    def __enter__(self) -> "TimingProgress":
        self.last_line = time.monotonic()
        return self

    def __call__(self, what: str, done: float, of: float) -> None:
        numbers = f"{done:.0f} of {of:.0f}"
        if console.is_terminal:
            bar = self.bar = self.bar or self._start()  # not sooner: a training before it has a bar of its own
            bar.update(self.task, description=f"bench: {what}", completed=done, total=of, numbers=numbers)
            bar.refresh()
        elif time.monotonic() - self.last_line >= self.seconds:
            self.last_line = time.monotonic()
            log.info("bench: %s, %s", what, numbers)

    def _start(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"))
        bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self.task = bar.add_task("", numbers="")
        bar.start()
        return bar

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
