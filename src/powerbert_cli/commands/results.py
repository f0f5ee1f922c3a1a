"""What every training stage leaves beside its model."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..settings import TaskSettings
from ..store.artifacts import write_csv, write_json
from ..tasks.metrics import all_scores, interval, predictions_of
from ..training.stages import Trained


def write_results(
    trained: Trained, task: TaskSettings, seed: int, folder: Path, split: str = "dev", best_of: int = 1
) -> None:
    """metrics.json, predictions.csv and, of a training, history.csv of a split.

    Args:
        best_of: epochs of which the best one on these very rows was kept, which flatters it.
    """
    predictions = predictions_of(trained.logits, task.kind)
    low, high = interval(task.metric, trained.labels, predictions)
    scores = all_scores(task.metric, trained.labels, predictions)
    metrics = {
        "task": task.name,
        "split": split,
        "best_of_epochs": best_of if best_of > 1 else None,
        "metric": task.metric,
        "value": scores[task.metric],
        "interval": [low, high],
        "n": len(trained.labels),
        "seed": seed,
        **{name: value for name, value in scores.items() if name != task.metric},
    }
    write_json(folder / "metrics.json", metrics)
    columns = {**_columns("label", trained.labels), **_columns("prediction", predictions)}
    columns |= _columns("logit", trained.logits.reshape(len(predictions), -1))
    write_csv(folder / "predictions.csv", pd.DataFrame(columns))
    if len(trained.history):  # a model that is only measured has none
        write_csv(folder / "history.csv", trained.history)


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """(n,) as one column, (n, C) as one for each class: name_0 …"""
    return {name: values} if values.ndim == 1 else {f"{name}_{c}": values[:, c] for c in range(values.shape[1])}
