"""A shortened model against the plain one that was trained as long."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..store.artifacts import read_json
from ..store.stages import Stage
from ..tasks.metrics import Drop, paired_drop


def better(stages: Sequence[Stage]) -> Path:
    """The folder of the one with the better metric."""
    return max((stage.folder for stage in stages), key=value_of)


def value_of(folder: Path) -> float:
    """The headline metric of a finished stage."""
    return float(read_json(folder / "metrics.json")["value"])


def drop_of(metric: str, baseline: Path, shortened: Path, limit: float) -> Drop:
    """How much of the metric is lost, from the two stages' dev predictions; see `paired_drop`."""
    plain, short = (pd.read_csv(folder / "predictions.csv") for folder in (baseline, shortened))
    return paired_drop(
        metric, _values(plain, "label"), _values(plain, "prediction"), _values(short, "prediction"), limit
    )


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column, or the columns of a multi-label task side by side."""
    if name in table:
        return table[name].to_numpy()
    return table[[column for column in table if str(column).startswith(f"{name}_")]].to_numpy()
