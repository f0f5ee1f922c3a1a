"""Stopping a training so that it can go on: checkpoints by the clock, and one when SIGTERM or Ctrl-C comes."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from .. import processes
from ..errors import Interrupted, Terminated
from .checkpoints import seal

log = logging.getLogger(__name__)
_SAVING = b"\nCtrl-C: the training is saved after the step under way, and ends; Ctrl-C again ends it at once\n"
_ONE_PRESS = 1.0  # seconds; the terminal and torchrun both send the signal of one Ctrl-C to its processes


class Interruption(TrainerCallback):
    """Saves a checkpoint every so many minutes; on SIGTERM or Ctrl-C saves one after the step under way, and ends.

    While it is entered it takes both signals; `raise_if_asked` then raises what they stand for. A second Ctrl-C ends
    the work at once, as the first one elsewhere does.
    During an evaluation the checkpoint is the one that follows it, as the epoch's metric belongs to it.

    Args:
        minutes: between checkpoints within an epoch; None for none.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self.asked = False
        self.place = ""  # of the last checkpoint
        self._signals: dict[int, float] = {}  # of this process alone, until all have heard of them, and when they came
        self._saved = time.monotonic()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # elsewhere a signal cannot be taken
            taken = (signal.SIGTERM, signal.SIGINT)
            heard = [number for number in taken if signal.getsignal(number) is not signal.SIG_IGN]  # by a job behind &
            self._before = {number: signal.signal(number, self._ask) for number in heard}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now, first = time.monotonic(), self._signals.get(number)
        if number == signal.SIGINT and first is not None:
            if processes.count() == 1 or now - first > _ONE_PRESS:
                raise KeyboardInterrupt
        elif number == signal.SIGINT and processes.is_main():
            os.write(2, _SAVING)  # a logger may be at work just now
        self._signals.setdefault(number, now)

    def _settle(self, due: bool = False) -> bool:
        """All processes must end, and save, at the same step."""
        self.asked, due = processes.any_of(bool(self._signals), due)
        return due

    def raise_if_asked(self) -> None:
        """
        Raises:
            Interrupted: if Ctrl-C came; the checkpoint is written by then.
            Terminated: if SIGTERM came, likewise.
        """
        self._settle()
        by_hand, _ = processes.any_of(signal.SIGINT in self._signals, False)
        if self.asked:
            raise (Interrupted if by_hand else Terminated)(f"the training is saved{self.place}")

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step:
            log.info("resumed at step %d of %d", state.global_step, state.max_steps)
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        due = self.minutes is not None and time.monotonic() - self._saved >= 60 * self.minutes
        due = self._settle(due)
        if (self.asked or due) and not _ends_epoch(state):  # else it is evaluated first, and then saved
            control.should_save = True

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.asked and not _ends_epoch(state):  # cut short: nothing to evaluate, and the checkpoint is there
            control.should_evaluate = control.should_save = False

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._settle()  # all have written their parts then
        if state.is_world_process_zero:
            seal(Path(args.output_dir or ".") / f"checkpoint-{state.global_step}")
        self._saved, self.place = time.monotonic(), f" at step {state.global_step} of {state.max_steps}"
        control.should_training_stop = control.should_training_stop or self.asked


def _ends_epoch(state: TrainerState) -> bool:
    assert state.epoch is not None
    return abs(state.epoch - round(state.epoch)) < 1e-6
