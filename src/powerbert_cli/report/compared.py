"""Several runs side by side: what each is called, which setting is the best, and metric against speed.

The best is what a sweep's own table chooses, see `settings_table.best_within`: page, console and sweep.json name one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .chart import Frame, beside, ends
from .facts import json_of
from .front import mean_speed, pareto_front
from .settings_table import best_within
from .sweep_table import once_each, with_settings
from .verdict import verdict

_PLACES = ("output_dir", "hydra", "runtime", "tracking")  # settings that say where and how, not what
_MOST_NAMED = 3  # settings in a name; runs that differ in more are called by their folders
_NEEDED = (
    "setting",
    "seed",
    "run_dir",
    "value",
    "baseline",
    "drop",
    "max_drop",
    "confidence",
    "kept_share",
    "flops_ratio",
)
_NAMED_BY = {"setting", "drop", "metric"}  # what a sentence needs


def differences(runs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs."""
    names = {name: None for run in runs for name in run["settings"] if name.split(".")[0] not in _PLACES}
    all_values = {name: [run["settings"].get(name, "–") for run in runs] for name in names}
    return {name: values for name, values in all_values.items() if len(set(values)) > 1}


def compared(runs: list[dict[str, Any]], folders: Sequence[Path], sweep: dict[str, Any]) -> dict[str, Any]:
    """
    Args:
        runs: see `facts.facts`, of each folder.
        sweep: content of sweep.json if they are one sweep's jobs, else nothing: what it says is the best is.

    Returns:
        names: of each run, what sets it apart; settings: the same but for seed and fold; groups: equal for runs of one
        setting; best: of each run whether its setting is the chosen one; said: the verdict in a sentence, or None.
    """
    results = _results(runs, folders)
    if results is None:
        names, groups = _by_differences(runs), list(range(len(runs)))
        return {"names": names, "settings": names, "groups": groups, "best": [False] * len(runs), "said": None}
    best, said = _best(results, sweep)
    return {
        "names": [_with_seed(result, results) for result in results],
        "settings": [result["setting"] for result in results],
        "groups": [_key(result) for result in results],
        "best": [best is not None and _key(result) == _key(best) for result in results],
        "said": said,
    }


def _key(result: dict[str, Any]) -> tuple[Any, Any]:
    return result.get("curve"), result.get("setting")


def _results(runs: list[dict[str, Any]], folders: Sequence[Path]) -> list[dict[str, Any]] | None:
    """The runs' results as jobs of a sweep, named as that did; None if one is no such job, or not of their task."""
    results = [run["result"] for run in runs]
    if not all(result.get("status") == "ok" and "overrides" in result for result in results):
        return None
    if len({(result.get("task"), result.get("metric")) for result in results}) > 1:
        return None
    of_one = len({result.get("sweep") for result in results}) == 1
    known = [_in_sweep(folder) for folder in folders] if of_one else []
    if known and all(one is not None and "setting" in one for one in known):
        return [{**result, "setting": one["setting"]} for result, one in zip(results, known, strict=True) if one]
    return with_settings([{"target": None, "lambda": None, **result} for result in results])


def _in_sweep(folder: Path) -> dict[str, Any] | None:
    """What the sweep of a job says of it."""
    found = json_of(folder.parent / "sweep.json").get("results", [])
    return next((result for result in found if Path(result["run_dir"]).name == folder.name), None)


def _with_seed(result: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """The setting, and the seed and fold if the runs have several."""
    parts = [result["setting"]]
    parts += [f"{name} {result.get(name)}" for name in ("seed", "fold") if len({r.get(name) for r in results}) > 1]
    return " ".join(parts)


def _best(results: list[dict[str, Any]], sweep: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """None, None of results from before there was such a choice."""
    if "best" in sweep:
        best, good = sweep["best"], [result for result in sweep["results"] if result["status"] == "ok"]
    elif any(name not in result for result in results for name in _NEEDED):
        return None, None
    else:
        good = once_each(results)[0]
        best = best_within(good)
    known = good and "max_drop" in good[0] and (best is None or set(best) >= _NAMED_BY)
    return best, verdict(best, good) if known else None


def _by_differences(runs: list[dict[str, Any]]) -> list[str]:
    """seed=1 lr=3e-05, where these are all that differ; else the folders."""
    differ = {name.rpartition(".")[2]: values for name, values in differences(runs).items()}
    if not 0 < len(differ) <= _MOST_NAMED:
        return [run["name"] for run in runs]
    return [" ".join(f"{name}={values[i]}" for name, values in differ.items()) for i in range(len(runs))]


def front_of(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A picture of metric over speed-up, of runs of one task and metric: a point for each setting, by its means.

    Args:
        rows: see `page._row`, with setting, group and best.
    """
    rows = [row for row in rows if row["value"] is not None and row["speedup"] is not None]
    if len(rows) < 2 or len({(row["task"], row["metric"]) for row in rows}) > 1:
        return None
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    points = [_point(of) for of in groups.values()]
    on_front = {id(point) for point in pareto_front(points, lambda point: float(point["speedup"]))}
    points = [{**point, "on_front": id(point) in on_front} for point in points]
    points.sort(key=lambda point: (not point["best"], not point["on_front"], -point["speedup"]))
    return _drawn(points, rows)


def _point(rows: list[dict[str, Any]]) -> dict[str, Any]:
    alone = rows[0] if len(rows) == 1 else {}
    return {
        "status": "ok",
        "name": rows[0]["setting"],
        "runs": len(rows),
        "value": sum(float(row["value"]) for row in rows) / len(rows),
        "speedup": mean_speed(float(row["speedup"]) for row in rows),
        "interval": alone.get("speedup_interval"),
        "best": any(row["best"] for row in rows),
    }


def _drawn(points: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    metric = str(rows[0]["metric"])
    frame = Frame(ends([float(row["speedup"]) for row in rows]), ends([float(row["value"]) for row in rows], metric))
    places = [frame.at(point["speedup"], point["value"]) for point in points]
    labels, legend = beside(places, [point["name"] for point in points])
    points = [{**point, "at": at, "label": label} for point, at, label in zip(points, places, labels, strict=True)]
    line = sorted(point["at"] for point in points if point["on_front"])
    jobs = [frame.at(row["speedup"], row["value"]) for row in rows] if len(rows) > len(points) else []
    drawn = frame.drawn("times as fast as the fastest plain model", metric)
    return {**drawn, "points": points, "line": line, "jobs": jobs, "legend": legend, "metric": metric}
