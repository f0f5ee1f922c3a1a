"""What a page shows of a training: loss and dev metric by epoch, metrics class by class, who is taken for whom."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..kinds import KINDS
from ..tasks.classes import confusion, per_class
from ..tasks.predictions import read_predictions
from .chart import Frame, ends

_MATRIX = 10  # classes up to which the confusion matrix is shown
_POINTS = 500  # of a regression that are drawn


def training_facts(folder: Path, settings: dict[str, Any], metric: str | None) -> dict[str, Any]:
    """Curves, classes, confusion and scatter of a run directory; each empty or None where it has no such thing.

    Args:
        settings: config.yaml.
        metric: the headline metric.
    """
    task = settings.get("task") or {}
    found: dict[str, Any] = {
        "curves": _curves(folder / "history.csv", metric),
        "classes": [],
        "confusion": None,
        "scatter": None,
    }
    path = folder / "predictions.csv"
    if not path.is_file():
        return found
    labels, predictions = read_predictions(path)
    kind = KINDS.get(task.get("kind", ""))
    if kind is None:  # of another version
        return found
    if kind.VALUES and labels.dtype != object:
        found["scatter"] = _scatter(labels, predictions)
    elif kind.BY_CLASS:
        names = task.get("label_names")
        table = per_class(labels, predictions, names if isinstance(names, list) else None)
        found["classes"] = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
        if labels.ndim == 1 and labels.dtype != object and 2 <= len(table) <= _MATRIX:
            found["confusion"] = _matrix(confusion(labels, predictions, len(table)))
    return found


def _matrix(counts: np.ndarray) -> list[list[dict[str, Any]]]:
    """Counts, each with its share of its row."""
    rows = np.maximum(1, counts.sum(axis=1, keepdims=True))
    pairs = zip(counts.tolist(), (counts / rows).tolist(), strict=True)
    return [[{"count": n, "share": s} for n, s in zip(*row, strict=True)] for row in pairs]


def _curves(path: Path, metric: str | None) -> list[dict[str, Any]]:
    """A picture of the losses, and one of the dev metric."""
    history = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    if "epoch" not in history:
        return []
    losses = [_line(history, name, "loss", said) for name, said in (("loss", "training"), ("eval_loss", "dev"))]
    scores = [_line(history, f"eval_{metric}", str(metric), "dev")]
    found = (_chart(losses, "loss", None), _chart(scores, f"dev {metric}", metric))
    return [chart for chart in found if chart is not None]


def _line(history: pd.DataFrame, column: str, what: str, name: str) -> dict[str, Any]:
    known = history[["epoch", column]].dropna() if column in history else pd.DataFrame(columns=["epoch", column])
    values = [(float(x), float(y)) for x, y in zip(known["epoch"], known[column], strict=True)]
    return {"name": name, "values": [pair for pair in values if np.isfinite(pair).all()]}


def _chart(lines: list[dict[str, Any]], label: str, metric: str | None) -> dict[str, Any] | None:
    lines = [line for line in lines if line["values"]]
    every = [pair for line in lines for pair in line["values"]]
    if not any(len(line["values"]) > 1 for line in lines):
        return None  # a single point is no curve, and stands in metrics.json
    low, high = ends([y for _, y in every], metric)
    frame = Frame((0.0, max(x for x, _ in every)), (low if metric else max(0.0, low), high))
    drawn = [{"name": line["name"], "points": [frame.at(*pair) for pair in line["values"]]} for line in lines]
    return {**frame.drawn("epoch", label), "lines": drawn}


def _scatter(labels: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    """Predictions over labels, of all rows or evenly of `_POINTS` of them."""
    both = [float(value) for value in (*labels, *predictions)]
    frame = Frame(ends(both), ends(both))
    every = -(-len(labels) // _POINTS)
    pairs = zip(labels[::every], predictions[::every], strict=True)
    points = [frame.at(float(x), float(y)) for x, y in pairs]
    line = [frame.at(value, value) for value in frame.x]
    return {**frame.drawn("label", "prediction"), "points": points, "diagonal": line}
