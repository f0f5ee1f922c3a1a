"""predictions.csv: labels, predictions and logits of a split's rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..kinds.kind import objects


def prediction_table(labels: np.ndarray, predictions: np.ndarray, logits: np.ndarray) -> pd.DataFrame:
    """Columns label, prediction and logit_0 …; of a multi-label task one for each class, label_0 …

    What is no number stands there as JSON; logits are left out where a row has no single vector of them.

    Args:
        labels, predictions: (n,) or (n, C). logits: (m, C).
    """
    columns = {**_columns("label", labels), **_columns("prediction", predictions)}
    if len(logits) == len(predictions) and logits.ndim <= 2:
        columns |= _columns("logit", logits.reshape(len(logits), -1))
    return pd.DataFrame(columns)


def read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of a predictions.csv, as `prediction_table` was given them."""
    table = pd.read_csv(path, keep_default_na=False)
    return _values(table, "label"), _values(table, "prediction")


def _columns(name: str, values: np.ndarray) -> dict[str, Any]:
    if values.ndim == 2:
        return {f"{name}_{c}": values[:, c] for c in range(values.shape[1])}
    if values.dtype == object:
        return {name: [json.dumps(value, ensure_ascii=False) for value in values]}
    return {name: values}


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    if name not in table:
        return table[[column for column in table if str(column).startswith(f"{name}_")]].to_numpy()
    if pd.api.types.is_numeric_dtype(table[name]):
        return table[name].to_numpy()
    return objects(_frozen(json.loads(value)) for value in table[name])


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, as kinds have them."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
