"""Contenders in one process, alternating."""

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch.profiler import ProfilerActivity, profile

from ..captured.model import CapturedModel
from ..tasks.batch import Batch, lengths_in, padded_in
from .energy import energy_counter
from .memory import peak_mb, reset_peak

MIN_ROUNDS = 5  # that are done whatever the time, unless fewer are asked for
WARM_UP_PASSES = 2
# Engines keep threads of their own, which wait busily for a while after a run and would slow the next contender.
PAUSE = 0.02  # seconds
Told = Callable[[str, float, float], None]  # what is done now, how much of it is done, and of how much


@dataclass
class Contender:
    """One way to answer: a model, how it is run, and how its inputs are padded.

    Attributes:
        model: plain, full or shortened.
        run: answers a batch.
        flops: of one pass over all batches.
        roofline: seconds that a pass would need without any loss; None if not known.
        peak: FLOPs a second that this device was measured to reach in this precision; None if not known.
        calls: for each round the seconds of each batch.
        joules: used in all rounds; None where nothing tells.
        prepared_s: seconds of the first passes beyond those of a warm one.
        busy_s: seconds of a batch in which the GPU computed; None on a CPU.
        expected_s: seconds that a pass should take, see `probe`.
        answer: answers batches of any shape, where `run` is for those of few; None for `run`.
        compressed: more was removed of the model than word-vectors, or its weights have few bits.
    """

    model: str
    engine: str
    padding: str
    precision: str
    run: Callable[..., Any]
    batches: list[Batch]
    flops: float
    roofline: float | None = None
    peak: float | None = None
    calls: list[list[float]] = field(default_factory=list)
    peak_memory_mb: float | None = None
    joules: float | None = None
    expected_s: float = 0.0
    prepared_s: float = 0.0
    busy_s: float | None = None
    answer: Callable[..., Any] | None = None
    compressed: bool = False

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

    @property
    def tokens(self) -> int:
        """Word-vectors of one pass, without padding."""
        return sum(sum(lengths_in(batch)) for batch in self.batches if batch)

    @property
    def on_cpu(self) -> bool:
        return all(tensor.device.type == "cpu" for batch in self.batches for tensor in batch.values())

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


def whole_ones(contenders: Sequence[Contender]) -> list[Contender]:
    """This encoder's of which nothing was removed: `full`, or where that is compressed `packed`."""
    return [c for c in contenders if c.model in ("full", "packed") and not c.compressed]


@torch.inference_mode()
def fill_busy(contenders: Sequence[Contender], device: str) -> None:
    """Fills `busy_s` by a GPU's own counters, where they can be read; after the rounds, as counting slows."""
    if device != "cuda":
        return
    os.environ.setdefault("TEARDOWN_CUPTI", "0")  # CUDA graphs do not survive counters that come and go
    for contender in contenders:
        try:
            with profile(activities=[ProfilerActivity.CUDA]) as found:
                contender.time(device)
        except RuntimeError:
            return
        spent = sum(event.self_device_time_total for event in found.key_averages())
        contender.busy_s = float(spent) / 1e6 / len(contender.batches) or None


def synchronize(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def silent(what: str, done: float, of: float) -> None:
    """Shows nothing."""


def probe(contenders: Sequence[Contender], device: str, told: Told = silent) -> tuple[list[Contender], list[Contender]]:
    """Fills `expected_s` from the second run of the first batch, so that the time of all is known before it is spent.

    A pass is taken to last as its word-pieces do; a graph that is compiled for each shape takes longer the first time.

    Returns:
        As `warm_up`.
    """

    def one(contender: Contender) -> None:
        first = replace(contender, batches=contender.batches[:1])
        cold, warm = sum(first.time(device)), sum(first.time(device))
        sizes = [padded_in(batch) for batch in contender.batches]
        contender.expected_s = warm * sum(sizes) / sizes[0]
        contender.prepared_s = max(0.0, cold - warm)

    return _each(contenders, one, "first batches", told)


def warm_up(
    contenders: Sequence[Contender], device: str, told: Told = silent
) -> tuple[list[Contender], list[Contender]]:
    """Two passes each. Fills `peak_memory_mb`, taken in the second, so that compiling does not count, and `prepared_s`.

    Returns:
        Those that are ready to be timed, and those that do not fit into memory.
    """

    def one(contender: Contender) -> None:
        begun = time.perf_counter()
        run = contender.run
        recorded_mb = run.warm_up(contender.batches).megabytes if isinstance(run, CapturedModel) else 0.0
        contender.time(device)
        cold = time.perf_counter() - begun
        reset_peak(device)
        contender.expected_s = sum(contender.time(device))
        peak = peak_mb(device)
        contender.peak_memory_mb = None if peak is None else peak + recorded_mb  # a replay allocates nothing
        contender.prepared_s += max(0.0, cold - contender.expected_s)

    return _each(contenders, one, "warm-up", told)


@torch.inference_mode()
def _each(
    contenders: Sequence[Contender], work: Callable[[Contender], None], what: str, told: Told
) -> tuple[list[Contender], list[Contender]]:
    ready, too_large = list[Contender](), list[Contender]()
    for number, contender in enumerate(contenders):
        told(what, number, len(contenders))
        try:
            work(contender)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            too_large.append(contender)
            continue
        ready.append(contender)
    if too_large:
        clear_device_cache(garbage_collection=True)
    return ready, too_large


@torch.inference_mode()
def measure(
    contenders: Sequence[Contender],
    rounds: int,
    max_seconds: float,
    device: str,
    seed: int = 0,
    told: Told = silent,
) -> int:
    """Times contenders that are warm, in rounds of shuffled order.

    Stops early after `max_seconds` once `MIN_ROUNDS` are done. Fills `calls` and `joules` after each whole round: a
    round that is interrupted leaves nothing, those before it stay.

    Returns:
        The number of rounds done.
    """
    counter = energy_counter(device)
    order = list(contenders)
    shuffle = random.Random(seed)
    start = time.monotonic()
    for done in range(1, rounds + 1):
        shuffle.shuffle(order)
        found = list[tuple[Contender, list[float], float | None]]()
        for number, contender in enumerate(order):
            told("rounds", done - 1 + number / len(order), rounds)
            time.sleep(PAUSE)
            before = counter() if counter else 0.0
            calls = contender.time(device)
            found.append((contender, calls, counter() - before if counter else None))
        for contender, calls, joules in found:
            contender.calls.append(calls)
            contender.joules = None if joules is None else (contender.joules or 0.0) + joules
        if done >= MIN_ROUNDS and time.monotonic() - start > max_seconds:
            return done
    return rounds
