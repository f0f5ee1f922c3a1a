"""Contenders in one process, alternating."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from ..tasks.batches import Batch
from .energy import energy_counter
from .memory import peak_mb, reset_peak

MIN_ROUNDS = 3
# Engines keep threads of their own, which wait busily for a while after a run and would slow the next contender.
_PAUSE = 0.02  # seconds


@dataclass
class Contender:
    """One way to answer: a model, how it is run, and how its inputs are padded.

    Attributes:
        model: plain, full or shortened.
        run: answers a batch.
        flops: of one pass over all batches.
        roofline: seconds that a pass would need without any loss; None if not known.
        calls: for each round the seconds of each batch.
        joules: used in all rounds; None where nothing tells.
    """

    model: str
    engine: str
    padding: str
    precision: str
    run: Callable[..., Any]
    batches: list[Batch]
    flops: float
    roofline: float | None = None
    calls: list[list[float]] = field(default_factory=list)
    peak_memory_mb: float | None = None
    joules: float | None = None

    @property
    def name(self) -> str:
        return f"{self.model}/{self.padding}/{self.engine}/{self.precision}"

    @property
    def shortened(self) -> bool:
        return self.model == "shortened"

    @property
    def seconds(self) -> list[float]:
        """For each round the mean seconds of a batch."""
        return [sum(calls) / len(calls) for calls in self.calls]

    def time(self, device: str) -> list[float]:
        """One pass over all batches; seconds of each, until its answer is there."""
        taken = []
        synchronize(device)
        for batch in self.batches:
            start = time.perf_counter()
            self.run(**batch)
            synchronize(device)
            taken.append(time.perf_counter() - start)
        return taken


def synchronize(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def warm_up(contenders: Sequence[Contender], device: str) -> tuple[list[Contender], list[Contender]]:
    """Two passes each; fills `peak_memory_mb`, taken in the second, so that compiling does not count.

    Returns:
        Those that are ready to be timed, and those that do not fit into memory.
    """
    ready, too_large = [], []
    for contender in contenders:
        try:
            contender.time(device)
            reset_peak(device)
            contender.time(device)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            too_large.append(contender)
            continue
        contender.peak_memory_mb = peak_mb(device)
        ready.append(contender)
    if too_large:
        clear_device_cache(garbage_collection=True)
    return ready, too_large


@torch.inference_mode()
def measure(contenders: Sequence[Contender], rounds: int, max_seconds: float, device: str, seed: int = 0) -> int:
    """Times contenders that are warm, in rounds of shuffled order.

    Stops early after `max_seconds` once three rounds are done. Fills `calls` and `joules`.

    Returns:
        The number of rounds done.
    """
    counter = energy_counter(device)
    order = list(contenders)
    shuffle = random.Random(seed)
    start = time.monotonic()
    for done in range(1, rounds + 1):
        shuffle.shuffle(order)
        for contender in order:
            time.sleep(_PAUSE)
            before = counter() if counter else 0.0
            contender.calls.append(contender.time(device))
            if counter:
                contender.joules = (contender.joules or 0.0) + counter() - before
        if done >= MIN_ROUNDS and time.monotonic() - start > max_seconds:
            return done
    return rounds
