"""report.html: one self-contained page of a run, or of several side by side. It reads run directories alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..store.artifacts import write_text
from .facts import facts, jobs_of, pictures_of
from .front import pareto_front

NAME = "report.html"
_PLACES = ("output_dir", "hydra")  # settings that say where, not what


def write_page(runs: Sequence[Path], path: Path) -> None:
    """Writes the page of one run directory, of a sweep's, or of several.

    Raises:
        PowerbertError: a folder is no run directory, or a file there is damaged; names it.
    """
    found = [facts(folder, path.parent) for run in runs for folder in jobs_of(run)]
    pictures = [picture for run in runs if (run / "sweep.json").is_file() for picture in pictures_of(run)]
    several = len(found) > 1 or len(runs) > 1
    content = {"runs": found, "several": several, "sweep_pictures": pictures}
    if several:
        content |= {"differ": _differences(found), "front": _front(found), "rows": [_row(run) for run in found]}
    write_text(path, _template().render(**content))


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("page.html.j2")


def _row(run: dict[str, Any]) -> dict[str, Any]:
    """What a table of several runs says of one."""
    metrics, fastest = run["metrics"], run["fastest"]
    return {
        "name": run["name"],
        "verb": run["verb"],
        "task": metrics.get("task") or run["settings"].get("task.name", ""),
        "metric": metrics.get("metric"),
        "value": metrics.get("value"),
        "interval": metrics.get("interval"),
        "drop": run["result"].get("drop"),
        "kept": run["kept"],
        "ms": fastest and fastest["ms"],
        "speedup": fastest and fastest["best"],
        "speedup_interval": fastest and fastest["best_interval"],
        "where": fastest and f"{fastest['where']}, {fastest['padding']}; {fastest['point']}",
        "doubt": run["doubt"],
    }


def _differences(runs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs."""
    names = {name: None for run in runs for name in run["settings"] if name.split(".")[0] not in _PLACES}
    all_values = {name: [run["settings"].get(name, "–") for run in runs] for name in names}
    return {name: values for name, values in all_values.items() if len(set(values)) > 1}


def _front(runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Places of the runs' points in a picture of metric over speed-up, both in 0 … 1; runs of one task and metric."""
    found = ({"status": "ok", **_row(run)} for run in runs)
    rows = [row for row in found if row["value"] is not None and row["speedup"] is not None]
    if len(rows) < 2 or len({(row["task"], row["metric"]) for row in rows}) > 1:
        return None
    best = {id(row) for row in pareto_front(rows, lambda row: float(row["speedup"]))}
    speeds, values = ([float(row[name]) for row in rows] for name in ("speedup", "value"))
    axes = {name: _ticks(found) for name, found in (("x", speeds), ("y", values))}
    points = [
        {"name": row["name"], "x": _place(x, axes["x"]), "y": _place(y, axes["y"]), "best": id(row) in best,
         "speedup": x, "interval": row["speedup_interval"], "value": y}
        for row, x, y in zip(rows, speeds, values, strict=True)
    ]  # fmt: skip
    ticks = {name: [{"at": _place(tick, axis), "text": f"{tick:.4g}"} for tick in axis] for name, axis in axes.items()}
    line = sorted((point for point in points if point["best"]), key=lambda point: float(point["x"]))
    return {"points": points, "line": line, "ticks": ticks, "metric": rows[0]["metric"]}


def _ticks(values: list[float]) -> list[float]:
    from .agg import MaxNLocator

    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05 * (abs(high) or 1.0)
    return [float(tick) for tick in MaxNLocator(5).tick_values(low - margin, high + margin)]


def _place(value: float, ticks: list[float]) -> float:
    return (value - ticks[0]) / (ticks[-1] - ticks[0])
