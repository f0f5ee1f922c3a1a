"""A sweep's settings: what their jobs, one for each seed or fold, say together, and which setting is chosen."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ..bench.ratio import mean_of_ratios
from ..settings.bench import PADDINGS
from ..tasks.metrics import range_of, spread, within
from .front import mean_speed, speed_of

_OF_ALL = ("status", "setting", "curve", "task", "metric", "max_drop", "lambda", "target", "point")
_RATIOS = [f"{name}_{padding}" for name in ("speedup", "elimination") for padding in PADDINGS]


def settings_of(good: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result for each setting, with `runs`: a job's own where it is the only one; else the means over seeds and
    folds.

    Then `drop_low` and `drop_high` are the 95% t-interval of the mean drop, `speed` is the geometric mean with the
    t-interval of its logarithm, `confidence` the mean, and the test metrics have their standard deviation beside them.
    """
    groups: dict[Any, list[dict[str, Any]]] = {}
    for result in good:
        groups.setdefault((result.get("curve"), result["setting"]), []).append(result)
    return [{**of[0], "runs": 1} if len(of) == 1 else _together(of) for of in groups.values()]


def _together(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    found = {name: jobs[0][name] for name in _OF_ALL if name in jobs[0]}
    found |= {"runs": len(jobs), "seeds": [job["seed"] for job in jobs], "run_dirs": [job["run_dir"] for job in jobs]}
    for name in ("value", "baseline", "drop"):
        found |= _spread(jobs, name)
    if all(job.get("test_value") is not None for job in jobs):
        found |= {**_spread(jobs, "test_value"), **_spread(jobs, "test_baseline")}
    found |= {name: float(pd.Series([job[name] for job in jobs]).mean()) for name in ("confidence", "kept_share")}
    speeds = [speed_of(job) for job in jobs]
    found["speed"] = mean_speed(speeds)
    if found["speed"]:
        found |= _ratios("speed", speeds)
    for name in _RATIOS:
        ratios = [job.get(name) for job in jobs]
        if all(ratio is not None and not pd.isna(ratio) for ratio in ratios):
            found |= _ratios(name, ratios)
    flops = [job["flops_ratio"] for job in jobs]
    found["flops_ratio"] = None if any(ratio is None for ratio in flops) else float(np.mean(flops))
    doubts = [job["doubt"] for job in jobs if job.get("doubt")]
    return {**found, "doubt": doubts[0] if doubts else None}


def _spread(jobs: list[dict[str, Any]], name: str) -> dict[str, float]:
    ends = (-np.inf, np.inf) if name == "drop" else range_of(jobs[0]["metric"])
    over = spread(np.asarray([job[name] for job in jobs], dtype=float), ends)
    return {name: over.mean, **{f"{name}_{what}": value for what, value in asdict(over).items() if what != "mean"}}


def _ratios(name: str, ratios: list[Any]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), mean_of_ratios(ratios), strict=True))


def over_seeds(good: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each setting that has several seeds or folds, see `settings_of`: seeds.csv."""
    means = ("value", "baseline", "drop")
    rows = []
    for one in settings_of(good):
        if one["runs"] < 2:
            continue
        row = {"setting": one["setting"], "seeds": one["runs"], "kept_share": one["kept_share"]}
        for name in means:
            row |= {
                f"{name}_mean": one[name],
                **{f"{name}_{end}": one[f"{name}_{end}"] for end in ("std", "low", "high")},
            }
        for name in ("flops_ratio", "speed", "speed_low", "speed_high", *_RATIOS):
            row[name] = one.get(name)
        rows.append({**row, "confidence": one["confidence"]})
    return pd.DataFrame(rows)


def best_within(good: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The fastest setting whose drop, over several seeds the mean, is within max_drop of the baseline; or None."""
    near = [one for one in settings_of(good) if within(one["drop"], one["max_drop"])]
    return max(near, key=speed_of, default=None)
