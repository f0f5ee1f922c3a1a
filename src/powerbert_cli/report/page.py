"""report.html: one self-contained page of a run, or of several side by side. It reads run directories alone."""

import base64
import json
import os.path
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import PowerbertError
from ..store.artifacts import read_json, write_text
from .front import pareto_front

NAME = "report.html"
_SHOWN = (".json", ".csv", ".png", ".yaml", ".log", ".onnx", ".md")
_PLACES = ("output_dir", "hydra")  # settings that say where, not what


def write_page(runs: Sequence[Path], path: Path) -> None:
    """Writes the page of one run directory, of a sweep's, or of several.

    Raises:
        PowerbertError: a folder is no run directory, or a file there is damaged; names it.
    """
    found = [_run(folder, path.parent) for run in runs for folder in _jobs(run)]
    pictures = [picture for run in runs if (run / "sweep.json").is_file() for picture in _pictures(run)]
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


def _jobs(folder: Path) -> list[Path]:
    """The finished jobs of a sweep in their order, or the one run."""
    if (folder / "sweep.json").is_file():
        results = _json(folder / "sweep.json").get("results", [])
        # a sweep that was moved has its jobs beside it still
        places = [folder / Path(result["run_dir"]).name for result in results if result["status"] == "ok"]
        return [place for place in places if (place / "config.yaml").is_file()]
    if not (folder / "config.yaml").is_file():
        raise PowerbertError(f"{folder}: is no run directory: it has no config.yaml")
    return [folder]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise PowerbertError(f"{path}: is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    except yaml.YAMLError as error:
        raise PowerbertError(f"{path}: is no YAML: {str(error).splitlines()[0]}") from error


def _run(folder: Path, page: Path) -> dict[str, Any]:
    settings = _flat(_yaml(folder / "config.yaml") or {})
    hydra = (_yaml(folder / ".hydra" / "hydra.yaml") or {}).get("hydra", {})
    verb = hydra.get("job", {}).get("name") or "run"
    result = _json(folder / "result.json")
    retention = _json(folder / "retention.json")
    timing = _timing(folder / "timing.csv")
    return {
        "name": f"{folder.parent.name}/{folder.name}",
        "verb": verb,
        "command": shlex.join(["powerbert", verb, *(_yaml(folder / ".hydra" / "overrides.yaml") or [])]),
        "metrics": _json(folder / "metrics.json"),
        "test": _json(folder / "test_metrics.json"),
        "result": result,
        "retention": _bars(retention),
        "kept": _kept(retention),
        "compression": _json(folder / "model" / "compression.json"),
        "timing": timing,
        "fastest": max((row for row in timing if row["shortened"] and row["best"]), key=_best, default=None),
        "words": _words(_json(folder / "words.json")),
        "settings": settings,
        "environment": _flat(_json(folder / "environment.json")),
        "pictures": _pictures(folder),
        "files": _files(folder, page),
    }


def _flat(content: dict[str, Any], within: str = "") -> dict[str, str]:
    """{"a": {"b": 1}} → {"a.b": "1"}"""
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{within}{name}.")
        else:
            flat[f"{within}{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def _configuration(retention: dict[str, Any]) -> tuple[list[float], float]:
    """What each layer keeps, and what the whole is."""
    if retention.get("lengths"):
        return retention["lengths"], retention["seq_len"]
    return retention.get("fractions") or [], 1.0


def _bars(retention: dict[str, Any]) -> list[dict[str, Any]]:
    values, whole = _configuration(retention)
    return [{"layer": j + 1, "value": f"{value:g}", "share": value / whole} for j, value in enumerate(values)]


def _kept(retention: dict[str, Any]) -> float | None:
    values, whole = _configuration(retention)
    return sum(values) / whole / len(values) if values else None


def _timing(path: Path) -> list[dict[str, Any]]:
    """The rows of a timing table; lengths of bars are shares of the slowest."""
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    slowest = table["median_s"].max()
    rows = []
    for row in table.to_dict("records"):
        plain = row["model"] == "plain"
        rows.append(
            {
                "model": row["model"],
                "shortened": bool(row["shortened"]),
                "where": f"{row['engine']}, {row['precision']}",
                "padding": row["padding"],
                "point": f"batch {row['batch_size']}, ℓ={row['seq_len']}, {row['threads']} threads",
                "ms": 1000 * row["median_s"],
                "share": row["median_s"] / slowest,
                "rate": row["examples_per_s"],
                "speedup": None if plain or pd.isna(row["speedup"]) else row["speedup"],
                "low": row["speedup_low"],
                "high": row["speedup_high"],
                "best": None if pd.isna(row["speedup_vs_best"]) else row["speedup_vs_best"],
                "value": None if pd.isna(row.get("value")) else row["value"],
            }
        )
    return rows


def _best(row: dict[str, Any]) -> float:
    return float(row["best"])


def _words(content: dict[str, Any]) -> dict[str, Any] | None:
    """Each word with how dark it is: 1 for what reached the last layer."""
    if not content:
        return None
    layers = content["layers"]
    texts = [[{**word, "share": word["layer"] / layers} for word in text] for text in content["texts"]]
    return {"layers": layers, "texts": texts}


def _pictures(folder: Path) -> list[dict[str, str]]:
    return [
        {"name": path.stem, "data": base64.b64encode(path.read_bytes()).decode()}
        for path in sorted(folder.glob("*.png"))
    ]


def _files(folder: Path, page: Path) -> list[dict[str, Any]]:
    """The run's files as links that hold as long as page and run stay beside each other."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in _SHOWN]
    paths += sorted((folder / "model").iterdir()) if (folder / "model").is_dir() else []
    return [
        {
            "name": str(path.relative_to(folder)),
            "link": Path(os.path.relpath(path, page)).as_posix(),
            "kb": max(1, round(path.stat().st_size / 1000)),
        }
        for path in paths
    ]


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
        "where": fastest and f"{fastest['where']}, {fastest['padding']}",
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
         "speedup": x, "value": y}
        for row, x, y in zip(rows, speeds, values, strict=True)
    ]  # fmt: skip
    ticks = {name: [{"at": _place(tick, axis), "text": f"{tick:.4g}"} for tick in axis] for name, axis in axes.items()}
    line = sorted((point for point in points if point["best"]), key=lambda point: float(point["x"]))
    return {"points": points, "line": line, "ticks": ticks, "metric": rows[0]["metric"]}


def _ticks(values: list[float]) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05 * (abs(high) or 1.0)
    return [float(tick) for tick in MaxNLocator(5).tick_values(low - margin, high + margin)]


def _place(value: float, ticks: list[float]) -> float:
    return (value - ticks[0]) / (ticks[-1] - ticks[0])
