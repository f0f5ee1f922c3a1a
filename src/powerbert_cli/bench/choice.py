"""Which of the measured speeds counts. `bench`, sweeps, pages, model cards and trackers all read it here."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..tasks.metrics import within

POINT = ["threads", "seq_len", "batch_size"]
WIDE = 1.5  # of an interval, high over low: beyond it the rounds disagree
_BUSY = 0.5  # of the load average, above what this process's own threads and the cores account for
_NAMES = ("speedup", "elimination", "speedup_vs_best")


@dataclass(frozen=True)
class Choice:
    """What counts of one measured point: threads, ℓ and batch size.

    Attributes:
        plain, shortened: rows of the timing table, of the fastest that eliminates nothing and of the fastest shortened
            one, whatever their engine, precision and padding.
    """

    plain: dict[str, Any]
    shortened: dict[str, Any]

    @property
    def speedup(self) -> float:
        return float(self.shortened["speedup_vs_best"])

    @property
    def interval(self) -> tuple[float, float] | None:
        """None in a table from before there was one, and of a single round."""
        low, high = (self.shortened.get(f"speedup_vs_best_{end}") for end in ("low", "high"))
        return None if low is None or high is None or pd.isna(low) or pd.isna(high) else (float(low), float(high))

    @property
    def point(self) -> str:
        return point_of(self.shortened)


def point_of(row: dict[str, Any]) -> str:
    return f"batch {row['batch_size']}, ℓ={row['seq_len']}, {row['threads']} threads"


def answers_count(said: dict[str, Any], limit: float) -> bool | None:
    """Whether an engine's answers are as good as float32's; None where they were not measured.

    They are unless the paired bootstrap over the rows shows that more than the limit is lost: unless the whole 95%
    interval of the drop lies beyond it. A drop of just the limit is within it, as in a sweep. Logits that are not
    finite are no answers.

    Args:
        said: see `table.compared`.
        limit: max_drop.
    """
    if not said:
        return None
    return bool(math.isfinite(said.get("logits_differ", 0.0)) and within(said["drop_low"], limit))


def counted(timing: pd.DataFrame) -> pd.Series:
    """Of each row whether its answers are as good as float32's, as far as that was measured."""
    if "within_max_drop" not in timing:
        return pd.Series(True, index=timing.index)
    return timing["within_max_drop"].map(lambda held: not held == 0).astype(bool)  # noqa: SIM201, None and NaN count


def choices(timing: pd.DataFrame) -> Iterator[Choice]:
    """Of each measured point, in the order of measuring; points where there is nothing to compare are left out.

    The two are chosen on the rounds that give their ratio, so that it is a ratio of two that were lucky.
    """
    for _, rows in timing[counted(timing)].groupby(POINT, sort=False):
        plain = rows[rows["speedup_vs_best"].eq(1) & ~rows["shortened"].astype(bool)]
        shortened = rows[rows["shortened"].astype(bool) & rows["speedup_vs_best"].notna()]
        if len(plain) and len(shortened):
            fastest = int(shortened["speedup_vs_best"].astype(float).argmax())
            yield Choice(_row(plain, 0), _row(shortened, fastest))


def _row(table: pd.DataFrame, number: int) -> dict[str, Any]:
    return {str(name): value for name, value in table.to_dict("records")[number].items()}


def headline(timing: pd.DataFrame) -> Choice | None:
    """The one speed that is quoted: that of the point that was measured first.

    That is the first of `bench.threads`, `bench.seq_lens` and `bench.batch_sizes`: named before anything was measured,
    and not the point where the ratio happens to be the largest. None where nothing counts, or no plain model was timed.
    """
    return next(choices(timing), None)


def as_result(timing: pd.DataFrame) -> dict[str, Any]:
    """The headline as a sweep keeps it of each job."""
    found, names = headline(timing), ("speed", "speed_low", "speed_high", "fastest", "fastest_plain", "point")
    doubt = {"doubt": doubt_of(timing)}
    if found is None:
        return {**dict.fromkeys(names), **doubt}
    contenders = found.shortened["contender"], found.plain["contender"]
    ends = found.interval or (None, None)
    return {**dict(zip(names, (found.speedup, *ends, *contenders, found.point), strict=True)), **doubt}


def doubt_of(timing: pd.DataFrame) -> str | None:
    """Why these times are not to be trusted; None where nothing speaks against them.

    Either the rounds disagree, so that an interval's ends are more than a factor of `WIDE` apart; or other programs
    ran: the load average was above the cores, and above the threads that this process has itself.
    """
    reasons = [reason for reason in (_disagreement(timing), _load(timing)) if reason]
    return f"do not trust these times: {'; '.join(reasons)}" if reasons else None


def _disagreement(timing: pd.DataFrame) -> str | None:
    known = [name for name in _NAMES if {f"{name}_low", f"{name}_high"} <= set(timing.columns)]
    ends = [timing[[f"{name}_low", f"{name}_high"]].dropna().astype(float).to_numpy() for name in known]
    widest = max((tuple(pair) for of in ends for pair in of), key=lambda pair: pair[1] / pair[0], default=(1.0, 1.0))
    if widest[1] <= WIDE * widest[0]:
        return None
    return f"the rounds disagree (a speed-up has the 95% interval {widest[0]:.2f} to {widest[1]:.2f})"


def _load(timing: pd.DataFrame) -> str | None:
    if "load_average" not in timing or timing["load_average"].isna().all():
        return None
    rows = timing.dropna(subset="load_average")
    return overloaded(rows["load_average"].max(), int(rows["cores"].max()), int(rows["threads"].max()))


def overloaded(load: float, cores: int, threads: int) -> str | None:
    """In words, where others than this process's own threads kept the cores busy.

    Args:
        load: the higher load average of one minute, before and after timing.
        threads: of this process, which the load counts too.
    """
    if load <= max(cores, threads) + _BUSY:
        return None
    return f"the load average was {load:.1f} on {cores} cores, so that other programs ran beside it"
