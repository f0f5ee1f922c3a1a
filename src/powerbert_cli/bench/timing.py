"""Contenders in one process, alternating, and what their times say."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from scipy import stats

from .batches import Batch
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


def speedup(baseline: Sequence[float], contender: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of median times, with a 95% bootstrap interval over rounds.

    The entries of one round are drawn together: both contenders ran in it side by side.
    """
    base, other = np.asarray(baseline), np.asarray(contender)
    if base is other or np.array_equal(base, other):
        return 1.0, 1.0, 1.0

    def ratio(a: np.ndarray, b: np.ndarray, axis: int = -1) -> Any:
        return np.median(a, axis=axis) / np.median(b, axis=axis)

    result = stats.bootstrap(
        (base, other), ratio, paired=True, vectorized=True, method="percentile", rng=np.random.default_rng(0)
    )
    return float(ratio(base, other)), float(result.confidence_interval.low), float(result.confidence_interval.high)


def table(contenders: Sequence[Contender], batch_size: int, seq_len: int) -> pd.DataFrame:
    """One row for each contender; times are of one batch.

    `median_s` is the median over rounds of a round's mean; `p50_s`, `p95_s` and `p99_s` are over all calls.
    `speedup` (with interval), `flops_ratio`, `efficiency` (measured over promised) and `roofline_ratio` (of roofline
    times) are against transformers' plain model of the same engine, precision and padding. Others:
    `elimination` (with interval) against full, this encoder with everything kept, of the same: what is
    eliminated alone brings, where `speedup` also has what else sets this encoder apart. `speedup_vs_padded` against the
    plain model padded to ℓ: in a plain row the gain of padding removal, in a shortened row both gains.
    `speedup_vs_best` against the fastest model of any engine, precision and padding here that eliminates nothing:
    transformers', or full with packed rows. A packed row stands against transformers' length-sorted batches, or what
    else was timed.
    `roofline_bound` is the speed-up that no engine could exceed here: the plain model's measured time over the
    contender's own roofline time; `roofline_reached` the roofline time over the measured one.
    """
    known = {(c.model, c.engine, c.precision, c.padding): c for c in contenders}
    whole = [c for c in contenders if c.model == "plain" or (c.model, c.padding) == ("full", "packed")]
    best = min(whole, key=lambda c: float(np.median(c.seconds)), default=None)
    rows = []
    for c in contenders:
        full = known.get(("full", c.engine, c.precision, c.padding))
        paddings = ("sorted", "longest", "max") if c.padding == "packed" else (c.padding,)
        bases = (known.get(("plain", c.engine, c.precision, padding)) for padding in paddings)
        base = next((found for found in bases if found is not None), None)
        p50, p95, p99 = map(float, np.percentile(np.concatenate(c.calls), [50, 95, 99]))
        median = float(np.median(c.seconds))
        answers = batch_size * len(c.batches) * len(c.seconds)
        rows.append(
            {
                "contender": c.name,
                "shortened": c.shortened,
                "engine": c.engine,
                "padding": c.padding,
                "precision": c.precision,
                "batch_size": batch_size,
                "threads": torch.get_num_threads(),
                "median_s": median,
                "p95_s": p95,
                "examples_per_s": batch_size / median,
                **_against(base, c),
                "peak_memory_mb": c.peak_memory_mb,
                "model": c.model,
                "seq_len": seq_len,
                **_against_roofline(base, c),
                **_alone(full, c),
                "speedup_vs_padded": _ratio(known.get(("plain", c.engine, c.precision, "max")), c),
                "speedup_vs_best": _ratio(best, c),
                "joules_per_example": None if c.joules is None else c.joules / answers,
                "rounds": len(c.seconds),
                "p50_s": p50,
                "p99_s": p99,
            }
        )
    return pd.DataFrame(rows)


def _ratio(base: Contender | None, other: Contender) -> float | None:
    return None if base is None else float(np.median(base.seconds) / np.median(other.seconds))


def _against(base: Contender | None, c: Contender) -> dict[str, float | None]:
    """Measured and FLOPs ratio against the plain contender; None where there is none."""
    names = ("speedup", "speedup_low", "speedup_high", "flops_ratio", "efficiency")
    if base is None:
        return dict.fromkeys(names)
    ratio, low, high = speedup(base.seconds, c.seconds)
    flops = base.flops / c.flops
    return dict(zip(names, (ratio, low, high, flops, ratio / flops), strict=True))


def _alone(full: Contender | None, c: Contender) -> dict[str, float | None]:
    """What elimination brings by itself; None where nothing is eliminated, or full was not timed."""
    names = ("elimination", "elimination_low", "elimination_high")
    if full is None or not c.shortened:
        return dict.fromkeys(names)
    return dict(zip(names, speedup(full.seconds, c.seconds), strict=True))


def _against_roofline(base: Contender | None, c: Contender) -> dict[str, float | None]:
    if c.roofline is None:
        return dict.fromkeys(("roofline_ratio", "roofline_bound", "roofline_reached"))
    least = c.roofline / len(c.batches)
    known = base is not None and base.roofline is not None
    return {
        "roofline_ratio": base.roofline / c.roofline if known else None,  # type: ignore[union-attr, operator]
        "roofline_bound": None if base is None else float(np.median(base.seconds)) / least,
        "roofline_reached": least / float(np.median(c.seconds)),
    }
