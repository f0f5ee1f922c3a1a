"""The one timing table: `bench` writes it out of the seconds of calls; sweeps, reports and pictures read it."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..kinds import Kind
from ..settings.bench import OWN_ENGINES, PADDINGS
from ..tasks.metrics import METRICS, Drop, interval, paired_drop
from .choice import POINT, counted
from .ratio import speedup, typical
from .timing import Contender, whole_ones

P99_CALLS = 300  # from which on three calls lie above the 99th percentile; of fewer it is the maximum or nearly so
# What a packed row stands against, and what counts of a model: the first timed.
UNPACKED = ("sorted", "longest", "max", "buckets")


def table(
    contenders: Sequence[Contender], batch_size: int, seq_len: int, inexact: Collection[str] = ()
) -> pd.DataFrame:
    """One row for each contender; times are of one batch.

    `median_s` is the median over rounds of a round's mean; `p50_s`, `p95_s`, `p99_s` and `max_s` are over all calls,
    `p99_s` from `P99_CALLS` calls on. Speed-ups are means of the rounds' ratios with their interval (`_low`, `_high`),
    see `ratio.speedup`, so that they differ a little from ratios of medians.
    `speedup`, `flops_ratio`, `efficiency` (measured over promised) and `roofline_ratio` (of roofline
    times) are against transformers' plain model of the same engine, precision and padding. Others:
    `elimination` against full, this encoder with everything kept, of the same: what is
    eliminated alone brings, where `speedup` also has what else sets this encoder apart. `speedup_vs_padded` against the
    plain model padded to ℓ: in a plain row the gain of padding removal, in a shortened row both gains.
    `speedup_vs_best` against the fastest model of any engine, precision and padding here that eliminates nothing and
    is not among the `inexact` names of contenders: transformers', or this encoder with everything kept.
    `speedup_vs_others` against the fastest of these that powerbert's own engines do not run, which is what one has
    without native and captured. A packed row stands against transformers' length-sorted batches, or what else was
    timed.
    `roofline_expected` is the speed-up that this device's measured peaks let expect: the plain model's measured time
    over the contender's own roofline time. It is no limit: all weights and activations count as read from memory, and
    those that stay in a cache come faster. `roofline_reached` is the roofline time over the measured one.
    `tokens_per_s_core` counts word-pieces without padding, on a CPU; `peak_share` is the share of the device's measured
    peak that the products and attention of the model reach, of what that contender has to compute.
    `prepared_s` is what the first pass over the batches took beyond a warm one: graphs that are compiled or recorded,
    libraries that choose their kernels. `device_busy_s` is the time of a batch in which a GPU computed.
    """
    against = _Bases(contenders, inexact)
    return pd.DataFrame(
        [
            {
                "contender": c.name,
                "shortened": c.shortened,
                "engine": c.engine,
                "padding": c.padding,
                "precision": c.precision,
                "batch_size": batch_size,
                "threads": torch.get_num_threads(),
                **_times(c, batch_size),
                **_against(against.plain(c), c),
                "peak_memory_mb": c.peak_memory_mb,
                "model": c.model,
                "seq_len": seq_len,
                **_against_roofline(against.plain(c), c),
                **_alone(against.of("full", c), c),
                **_ratio("speedup_vs_padded", against.of("plain", c, "max"), c),
                **_ratio("speedup_vs_best", against.best, c),
                **_ratio("speedup_vs_others", against.others, c),
                **_share_of_device(c, batch_size),
                "rounds": len(c.seconds),
                **_tail(c),
                "prepared_s": c.prepared_s,
                "device_busy_s": c.busy_s,
            }
            for c in contenders
        ]
    )


class _Bases:
    """Whom contenders stand against.

    Attributes:
        best: the fastest of any engine, precision and padding that eliminates nothing and is exact.
        others: the fastest of these that powerbert's own engines do not run.
    """

    def __init__(self, contenders: Sequence[Contender], inexact: Collection[str]) -> None:
        self._known = {(c.model, c.engine, c.precision, c.padding): c for c in contenders}
        whole = [*(c for c in contenders if c.model == "plain"), *whole_ones(contenders)]
        whole = [c for c in whole if c.name not in inexact]
        self.best = min(whole, key=lambda c: typical(c.seconds), default=None)
        self.others = min(
            (c for c in whole if c.engine not in OWN_ENGINES), key=lambda c: typical(c.seconds), default=None
        )

    def of(self, model: str, like: Contender, padding: str | None = None) -> Contender | None:
        """Another model in the same engine and precision, and in the same padding unless one is named."""
        return self._known.get((model, like.engine, like.precision, padding or like.padding))

    def plain(self, like: Contender) -> Contender | None:
        """transformers' model in the same engine, precision and padding; for packed rows in the best that it has."""
        paddings = UNPACKED if like.padding == "packed" else (like.padding,)
        found = (self.of("plain", like, padding) for padding in paddings)
        return next((one for one in found if one is not None), None)


def _times(c: Contender, batch_size: int) -> dict[str, float]:
    median = float(np.median(c.seconds))
    p95 = float(np.percentile(np.concatenate(c.calls), 95))
    return {"median_s": median, "p95_s": p95, "examples_per_s": batch_size / median}


def _tail(c: Contender) -> dict[str, float | None]:
    calls = np.concatenate(c.calls)
    p50, p99 = map(float, np.percentile(calls, [50, 99]))
    return {"p50_s": p50, "p99_s": p99 if len(calls) >= P99_CALLS else None, "max_s": float(calls.max())}


def _share_of_device(c: Contender, batch_size: int) -> dict[str, float | None]:
    passes = float(np.median(c.seconds)) * len(c.batches)
    answers = batch_size * len(c.batches) * len(c.seconds)
    return {
        "tokens_per_s_core": c.tokens / passes / torch.get_num_threads() if c.on_cpu else None,
        "peak_share": None if c.peak is None else c.flops / passes / c.peak,
        "joules_per_example": None if c.joules is None else c.joules / answers,
    }


def _ratio(name: str, base: Contender | None, other: Contender) -> dict[str, float | None]:
    """The speed-up and its interval as columns; None where there is nothing to compare with."""
    found = (None, None, None) if base is None else speedup(base.seconds, other.seconds)
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _against(base: Contender | None, c: Contender) -> dict[str, float | None]:
    """Measured and FLOPs ratio against the plain contender; None where there is none."""
    found = _ratio("speedup", base, c)
    if base is None:
        return {**found, "flops_ratio": None, "efficiency": None}
    flops = base.flops / c.flops
    return {**found, "flops_ratio": flops, "efficiency": found["speedup"] / flops}  # type: ignore[operator]


def _alone(full: Contender | None, c: Contender) -> dict[str, float | None]:
    """What elimination brings by itself; None where nothing is eliminated, or full was not timed."""
    return _ratio("elimination", full if c.shortened else None, c)


def _against_roofline(base: Contender | None, c: Contender) -> dict[str, float | None]:
    if c.roofline is None:
        return dict.fromkeys(("roofline_ratio", "roofline_expected", "roofline_reached"))
    least = c.roofline / len(c.batches)
    known = base is not None and base.roofline is not None
    return {
        "roofline_ratio": base.roofline / c.roofline if known else None,  # type: ignore[union-attr, operator]
        "roofline_expected": None if base is None else float(np.median(base.seconds)) / least,
        "roofline_reached": least / float(np.median(c.seconds)),
    }


def compared(logits: np.ndarray, exact: np.ndarray, rows: Any, kind: Kind) -> dict[str, Any]:
    """A way's answers beside those of the same model in float32.

    Args:
        logits, exact: (n, C). rows: the encoded ones that were answered.

    Returns:
        metric; value and value_fp32, the metric of each; value_low and value_high, the first's 95% interval;
        drop, value_fp32 - value, with its 95% interval by the paired bootstrap over the rows, drop_low and drop_high;
        answers_differ, the share of the rows with another answer (None for a regression, whose answers nearly all
        differ); logits_differ, the largest difference of a logit.
    """
    if logits.ndim == 3:  # an engine may pad on
        logits, exact = (one[:, : min(logits.shape[1], exact.shape[1])] for one in (logits, exact))
    metric, labels = kind.metric, kind.labels(rows)
    answers, wanted = (kind.predictions(one, rows) for one in (logits, exact))
    low, high = interval(metric, labels, answers)
    value, value_fp32 = (METRICS[metric](labels, given) for given in (answers, wanted))
    lost = Drop(0.0, 0.0, 1.0) if np.array_equal(answers, wanted) else paired_drop(metric, labels, wanted, answers, 0.0)
    return {
        "metric": metric,
        "value": value,
        "value_low": low,
        "value_high": high,
        "value_fp32": value_fp32,
        "drop": value_fp32 - value,
        "drop_low": lost.low,
        "drop_high": lost.high,
        "answers_differ": kind.differ(answers, wanted),
        "logits_differ": float(_real(np.abs(logits - exact), rows).max()),
    }


def _real(values: np.ndarray, rows: Any) -> np.ndarray:
    """Of what is said of each word-piece, (n, N, C), that of real ones alone."""
    if values.ndim < 3:
        return values
    lengths = np.asarray(rows.with_format("numpy")["length"][:])
    return np.asarray(values[np.arange(values.shape[1]) < lengths[:, None]])


def by_padding(timing: pd.DataFrame) -> dict[str, Any]:
    """Of the first engine and point by padding: speed-ups against transformers' model and against this encoder
    with everything kept (elimination alone), with their intervals, and times per example for the picture.

    These are listed; what counts is `choice.headline`. `not_counted` has the paddings of shortened rows that it leaves
    out for their answers.
    """
    same = ["engine", "precision", *POINT]
    one = timing[(timing[same] == timing[same].iloc[0]).all(axis=1)]
    rows = {row["padding"]: row for row in one[one["shortened"]].to_dict("records")}
    speeds: dict[str, Any] = {
        f"{name}_{padding}{end}": _known(rows, padding, f"{name}{end}")
        for name in ("speedup", "elimination")
        for padding in PADDINGS
        for end in ("", "_low", "_high")
    }
    times = {
        f"{row['model']}_{row['padding']}_ms": 1000 * float(row["median_s"]) / float(row["batch_size"])
        for row in one.to_dict("records")
    }
    if "shortened_packed_ms" in times:  # what packed rows are compared with
        best = next((name for name in UNPACKED if f"plain_{name}_ms" in times), None)
        times |= {} if best is None else {"plain_packed_ms": times[f"plain_{best}_ms"]}
    flops = {padding: _known(rows, padding, "flops_ratio") for padding in (*UNPACKED, "packed")}
    speeds |= {f"flops_ratio_{padding}": ratio for padding, ratio in flops.items() if ratio is not None}
    # of the padding that counts: against padding up to ℓ this encoder saves what is no removal
    speeds["flops_ratio"] = next((ratio for ratio in flops.values() if ratio is not None), None)
    beyond = one.loc[one["shortened"] & ~counted(one), "padding"]
    return {**speeds, **times, "not_counted": beyond.tolist()}


def _known(rows: dict[Any, dict[Any, Any]], padding: str, name: str) -> float | None:
    value = rows.get(padding, {}).get(name)
    return None if value is None or pd.isna(value) else float(value)
