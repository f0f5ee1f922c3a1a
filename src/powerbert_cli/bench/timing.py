"""Contenders in one process, alternating, and what their times say."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from .batches import Batch
from .memory import peak_mb, reset_peak

MIN_ROUNDS = 3


@dataclass
class Contender:
    """One way to answer: a model, how it is run, and how its inputs are padded.

    Attributes:
        flops: of one pass over all batches.
        seconds: one entry for each round: mean time of a batch in that round.
    """

    shortened: bool
    engine: str
    padding: str
    model: Callable[..., Any]
    batches: list[Batch]
    flops: float
    seconds: list[float] = field(default_factory=list)
    peak_memory_mb: float | None = None

    @property
    def name(self) -> str:
        return f"{'shortened' if self.shortened else 'plain'}/{self.padding}/{self.engine}"

    def run(self, device: str) -> float:
        """One pass over all batches; mean seconds of a batch."""
        _synchronize(device)
        start = time.perf_counter()
        for batch in self.batches:
            self.model(**batch)
        _synchronize(device)
        return (time.perf_counter() - start) / len(self.batches)


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def measure(contenders: Sequence[Contender], rounds: int, max_seconds: float, device: str, seed: int = 0) -> int:
    """Times all contenders: one warm-up pass each, then rounds in shuffled order.

    Stops early after `max_seconds` once three rounds are done. Fills `seconds` and
    `peak_memory_mb` (taken in the warm-up's second half, so that compiling does not count).

    Returns:
        The number of rounds done.
    """
    for contender in contenders:
        contender.run(device)
        reset_peak(device)
        contender.run(device)
        contender.peak_memory_mb = peak_mb(device)
    order = list(contenders)
    shuffle = random.Random(seed)
    start = time.monotonic()
    for done in range(1, rounds + 1):
        shuffle.shuffle(order)
        for contender in order:
            contender.seconds.append(contender.run(device))
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


def table(contenders: Sequence[Contender], batch_size: int, precision: str) -> pd.DataFrame:
    """One row for each contender.

    `speedup` (with interval), `flops_ratio` and `efficiency` (their quotient) are against the
    plain contender of the same engine and padding: the gain of elimination alone.
    `speedup_vs_padded` is against the plain contender padded to ℓ: in a plain row the gain of
    padding removal alone, in a shortened row both gains. Times are of one batch.
    """
    plain = {(c.engine, c.padding): c for c in contenders if not c.shortened}
    rows = []
    for c in contenders:
        base = plain[c.engine, c.padding]
        ratio, low, high = speedup(base.seconds, c.seconds)
        padded = plain.get((c.engine, "max"))
        median = float(np.median(c.seconds))
        rows.append(
            {
                "contender": c.name,
                "shortened": c.shortened,
                "engine": c.engine,
                "padding": c.padding,
                "precision": precision,
                "batch_size": batch_size,
                "threads": torch.get_num_threads(),
                "median_s": median,
                "p95_s": float(np.percentile(c.seconds, 95)),
                "examples_per_s": batch_size / median,
                "speedup": ratio,
                "speedup_low": low,
                "speedup_high": high,
                "flops_ratio": base.flops / c.flops,
                "efficiency": ratio / (base.flops / c.flops),
                "peak_memory_mb": c.peak_memory_mb,
                "speedup_vs_padded": float(np.median(padded.seconds)) / median if padded else None,
                "rounds": len(c.seconds),
            }
        )
    return pd.DataFrame(rows)
