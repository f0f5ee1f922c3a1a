"""What a run directory says of its run: read for pages and model cards."""

import base64
import json
import os.path
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..bench.choice import counted, doubt_of, headline, point_of
from ..errors import PowerbertError
from ..store.artifacts import read_json
from .training_facts import training_facts
from .words import COLUMNS, MODELS, PADDINGS, legend

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where yaml has it: ten times as fast
_SHOWN = (".json", ".csv", ".png", ".yaml", ".log", ".onnx", ".md")


def jobs_of(folder: Path) -> list[Path]:
    """The finished jobs of a sweep in their order, or the one run."""
    if (folder / "sweep.json").is_file():
        results = json_of(folder / "sweep.json").get("results", [])
        # a sweep that was moved has its jobs beside it still
        places = [folder / Path(result["run_dir"]).name for result in results if result["status"] == "ok"]
        return [place for place in places if (place / "config.yaml").is_file()]
    if not (folder / "config.yaml").is_file():
        raise PowerbertError(f"{folder}: is no run directory: it has no config.yaml")
    return [folder]


def json_of(path: Path) -> dict[str, Any]:
    """Empty where there is no such file, or another thing in it.

    Raises:
        PowerbertError: it is no JSON; names it.
    """
    try:
        found = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise PowerbertError(f"{path}: is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _LOADER) if path.is_file() else None  # noqa: S506
    except yaml.YAMLError as error:
        raise PowerbertError(f"{path}: is no YAML: {str(error).splitlines()[0]}") from error


def facts(folder: Path, page: Path) -> dict[str, Any]:
    """What a page shows of a run directory.

    Args:
        page: the folder of the page, for links to the run's files.

    Raises:
        PowerbertError: a file is damaged; names it.
    """
    config = _yaml(folder / "config.yaml") or {}
    hydra = (_yaml(folder / ".hydra" / "hydra.yaml") or {}).get("hydra", {})
    verb = hydra.get("job", {}).get("name") or "run"
    result = json_of(folder / "result.json")
    retention = json_of(folder / "retention.json")
    table = _table(folder / "timing.csv")
    counts = None if table is None else headline(table)
    metrics = json_of(folder / "metrics.json")
    return {
        "name": f"{folder.parent.name}/{folder.name}",
        "verb": verb,
        "command": shlex.join(["powerbert", verb, *(_yaml(folder / ".hydra" / "overrides.yaml") or [])]),
        "metrics": metrics,
        "test": json_of(folder / "test_metrics.json"),
        "result": result,
        "retention": _bars(retention),
        "kept": _kept(retention),
        "thresholds": bool(retention.get("thresholds")),
        "compression": json_of(folder / "model" / "compression.json"),
        "timing": [] if table is None else _timing(table),
        "fastest": None if counts is None else _row(counts.shortened, True),
        "doubt": None if table is None else doubt_of(table),
        "words": _words(json_of(folder / "words.json")),
        "legend": {} if table is None else _legend(table),
        **training_facts(folder, config, metrics.get("metric")),
        "settings": _flat(config),
        "environment": _flat(json_of(folder / "environment.json")),
        "pictures": pictures_of(folder),
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


def _table(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path) if path.is_file() else None


def _timing(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a timing table; lengths of bars are shares of the slowest."""
    slowest = table["median_s"].max()
    pairs = zip(table.to_dict("records"), counted(table), strict=True)
    return [{**_row(row, counts), "share": row["median_s"] / slowest} for row, counts in pairs]


def _legend(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """What the names in a timing table mean, as far as they stand there."""
    columns = legend(("vs plain", "vs best plain"), COLUMNS)
    return {"model": legend(table["model"], MODELS), "padding": legend(table["padding"], PADDINGS), "columns": columns}


def _row(row: dict[Any, Any], counts: bool) -> dict[str, Any]:
    """
    Args:
        counts: its answers are as good as float32's, so that its speed counts.
    """

    def known(name: str) -> Any:
        value = row.get(name)
        return None if value is None or pd.isna(value) else value

    def interval(name: str) -> tuple[float, float] | None:
        low, high = known(f"{name}_low"), known(f"{name}_high")
        return None if low is None or high is None else (low, high)

    plain = row["model"] == "plain"
    return {
        "model": row["model"],
        "shortened": bool(row["shortened"]),
        "counts": bool(counts),
        "where": f"{row['engine']}, {row['precision']}",
        "padding": row["padding"],
        "batch_size": row["batch_size"],
        "seq_len": row["seq_len"],
        "point": point_of(row),
        "ms": 1000 * row["median_s"],
        "rate": row["examples_per_s"],
        "speedup": None if plain else known("speedup"),
        "interval": None if plain else interval("speedup"),
        "best": known("speedup_vs_best"),
        "best_interval": interval("speedup_vs_best"),
        "value": known("value"),
    }


def _words(content: dict[str, Any]) -> dict[str, Any] | None:
    """Each word with how dark it is: 1 for what reached the last layer."""
    if not content:
        return None
    layers = content["layers"]
    texts = [[{**word, "share": word["layer"] / layers} for word in text] for text in content["texts"]]
    return {"layers": layers, "texts": texts}


def pictures_of(folder: Path) -> list[dict[str, str]]:
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
