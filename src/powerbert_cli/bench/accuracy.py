"""What a way of running a model does to its answers: the metric, and how many answers differ from float32's."""

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import torch

from ..tasks.metrics import METRICS, predictions_of
from ..tasks.tokenizing import InRowOrder, by_length
from .batches import make_batches


@torch.inference_mode()
def logits_of(
    run: Callable[..., Any],
    rows: datasets.Dataset,
    pad: Callable[[list[dict[str, Any]]], Any],
    batch_size: int,
    seq_len: int,
    device: str,
    buckets: bool = False,
) -> np.ndarray:
    """A runner's logits on tokenised rows, (n, C) float32, in the order of the rows.

    Args:
        run, pad, seq_len, device, buckets: see `make_batches` and `engines.runner`.
    """
    order = by_length(rows)
    found = InRowOrder(order)
    for start in range(0, len(order), batch_size):
        part = list(rows.select(order[start : start + batch_size]))
        for batch in make_batches(part, "longest", batch_size, pad, device, seq_len, buckets):
            answer = run(**batch)
            found.add(torch.as_tensor(getattr(answer, "logits", answer)).float().cpu().numpy())
    return found.values


def compared(logits: np.ndarray, exact: np.ndarray, labels: np.ndarray, metric: str, kind: str) -> dict[str, Any]:
    """A way's answers beside those of the same model in float32.

    Args:
        logits, exact: (n, C).

    Returns:
        metric; value and value_fp32, the metric of each; answers_differ, the share of the rows with another answer
        (None for a regression, whose answers nearly all differ); logits_differ, the largest difference of a logit.
    """
    answers, wanted = (predictions_of(one, kind) for one in (logits, exact))
    differ = None if kind == "regression" else float(np.mean((answers != wanted).reshape(len(wanted), -1).any(axis=1)))
    return {
        "metric": metric,
        "value": METRICS[metric](labels, answers),
        "value_fp32": METRICS[metric](labels, wanted),
        "answers_differ": differ,
        "logits_differ": float(np.abs(logits - exact).max()),
    }
