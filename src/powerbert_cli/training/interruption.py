"""Stopping a training so that it can go on: checkpoints by the clock, and one when SIGTERM comes."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from .. import processes
from ..errors import Terminated
from .checkpoints import seal


class Interruption(TrainerCallback):
    """Saves a checkpoint every so many minutes; on SIGTERM saves one after the step under way and ends the training.

    While it is entered it takes SIGTERM; `raise_if_asked` then raises what the signal stands for.
    During an evaluation the checkpoint is the one that follows it, as the epoch's metric belongs to it.

    Args:
        minutes: between checkpoints within an epoch; None for none.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self.asked = False
        self._signalled = False  # of this process alone, until all have heard of it
        self._saved = time.monotonic()
        self._before: Any = None

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # elsewhere a signal cannot be taken
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def _settle(self) -> None:
        """All processes must end at the same step."""
        [self.asked] = processes.any_of(self._signalled)

    def raise_if_asked(self) -> None:
        """
        Raises:
            Terminated: if SIGTERM came; the checkpoint is written by then.
        """
        self._settle()
        if self.asked:
            raise Terminated("the training is saved")

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        due = self.minutes is not None and time.monotonic() - self._saved >= 60 * self.minutes
        self.asked, due = processes.any_of(self._signalled, due)
        if (self.asked or due) and not _ends_epoch(state):  # else it is evaluated first, and then saved
            control.should_save = True

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.asked and not _ends_epoch(state):  # cut short: nothing to evaluate, and the checkpoint is there
            control.should_evaluate = control.should_save = False

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._settle()  # all have written their parts then
        if state.is_world_process_zero:
            seal(Path(args.output_dir or ".") / f"checkpoint-{state.global_step}")
        self._saved = time.monotonic()
        control.should_training_stop = control.should_training_stop or self.asked


def _ends_epoch(state: TrainerState) -> bool:
    assert state.epoch is not None
    return abs(state.epoch - round(state.epoch)) < 1e-6
