"""The one timing table: `bench` writes it out of the seconds of calls; sweeps, reports and pictures read it."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from ..tasks.metrics import METRICS, interval, predictions_of
from .timing import Contender

UNPACKED = ("sorted", "longest", "max")  # what a packed row stands against, and what counts of a model: the first timed


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


def table(
    contenders: Sequence[Contender], batch_size: int, seq_len: int, inexact: Collection[str] = ()
) -> pd.DataFrame:
    """One row for each contender; times are of one batch.

    `median_s` is the median over rounds of a round's mean; `p50_s`, `p95_s` and `p99_s` are over all calls.
    `speedup` (with interval), `flops_ratio`, `efficiency` (measured over promised) and `roofline_ratio` (of roofline
    times) are against transformers' plain model of the same engine, precision and padding. Others:
    `elimination` (with interval) against full, this encoder with everything kept, of the same: what is
    eliminated alone brings, where `speedup` also has what else sets this encoder apart. `speedup_vs_padded` against the
    plain model padded to ℓ: in a plain row the gain of padding removal, in a shortened row both gains.
    `speedup_vs_best` against the fastest model of any engine, precision and padding here that eliminates nothing and
    is not among the `inexact` names of contenders: transformers', or this encoder with packed rows. A packed row
    stands against transformers' length-sorted batches, or what else was timed.
    `roofline_bound` is the speed-up that no engine could exceed here: the plain model's measured time over the
    contender's own roofline time; `roofline_reached` the roofline time over the measured one.
    """
    known = {(c.model, c.engine, c.precision, c.padding): c for c in contenders}
    packs = "packed" if any(c.model == "packed" for c in contenders) else "full"  # full may be compressed
    whole = [c for c in contenders if c.model == "plain" or (c.model, c.padding) == (packs, "packed")]
    whole = [c for c in whole if c.name not in inexact]
    best = min(whole, key=lambda c: float(np.median(c.seconds)), default=None)
    rows = []
    for c in contenders:
        full = known.get(("full", c.engine, c.precision, c.padding))
        paddings = UNPACKED if c.padding == "packed" else (c.padding,)
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


def compared(logits: np.ndarray, exact: np.ndarray, labels: np.ndarray, metric: str, kind: str) -> dict[str, Any]:
    """A way's answers beside those of the same model in float32.

    Args:
        logits, exact: (n, C).

    Returns:
        metric; value and value_fp32, the metric of each; value_low and value_high, the first's 95% interval;
        answers_differ, the share of the rows with another answer (None for a regression, whose answers nearly all
        differ); logits_differ, the largest difference of a logit.
    """
    answers, wanted = (predictions_of(one, kind) for one in (logits, exact))
    low, high = interval(metric, labels, answers)
    differ = None if kind == "regression" else float(np.mean((answers != wanted).reshape(len(wanted), -1).any(axis=1)))
    return {
        "metric": metric,
        "value": METRICS[metric](labels, answers),
        "value_low": low,
        "value_high": high,
        "value_fp32": METRICS[metric](labels, wanted),
        "answers_differ": differ,
        "logits_differ": float(np.abs(logits - exact).max()),
    }


def headline(timing: pd.DataFrame) -> float:
    """The speed-up of the shortened model in length-sorted batches, or of the last padding that was timed."""
    speedups = timing[timing["shortened"]].dropna(subset="speedup")
    in_order = speedups[speedups["padding"] == "sorted"]
    counts = in_order if len(in_order) else speedups
    return float(counts["speedup"].iloc[-1]) if len(counts) else float("nan")


def by_padding(timing: pd.DataFrame) -> dict[str, Any]:
    """Of the first engine and setting by padding: speed-ups against transformers' model and against this encoder
    with everything kept (elimination alone), and times per example for the picture."""
    same = ["engine", "precision", "batch_size", "seq_len", "threads"]
    one = timing[(timing[same] == timing[same].iloc[0]).all(axis=1)].set_index(["padding", "model"])
    paddings = ("max", "longest", "sorted", "packed")
    speeds: dict[str, Any] = {f"{name}_{padding}": None for name in ("speedup", "elimination") for padding in paddings}
    times = {}
    for padding, model in one.index:
        row = one.loc[(padding, model)]
        if model == "shortened":
            speeds[f"speedup_{padding}"] = float(row["speedup"])
            alone = row["elimination"]  # None where full was not timed
            speeds[f"elimination_{padding}"] = None if pd.isna(alone) else float(alone)
            speeds[f"flops_ratio_{padding}"] = float(row["flops_ratio"])
        times[f"{model}_{padding}_ms"] = 1000 * float(row["median_s"]) / float(row["batch_size"])
    if "shortened_packed_ms" in times:  # what packed rows are compared with
        best = next((name for name in UNPACKED if f"plain_{name}_ms" in times), None)
        times |= {} if best is None else {"plain_packed_ms": times[f"plain_{best}_ms"]}
    # of the padding that counts: against padding up to ℓ this encoder saves what is no removal
    ratios = (speeds.get(f"flops_ratio_{padding}") for padding in ("sorted", "longest", "max", "packed"))
    speeds["flops_ratio"] = next((ratio for ratio in ratios if ratio is not None), None)
    return {**speeds, **times}
