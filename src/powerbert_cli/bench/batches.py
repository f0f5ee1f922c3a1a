"""The batches that contenders are timed on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..tasks.tokenizing import MODEL_INPUTS

Batch = dict[str, torch.Tensor]


def choose_rows(count: int, examples: int, batch_size: int) -> list[int]:
    """Indices of the rows to time: whole batches, rows repeated if there are too few."""
    wanted = max(batch_size, examples // batch_size * batch_size)
    return [i % count for i in range(wanted)]


def make_batches(
    rows: Sequence[dict[str, Any]],
    padding: str,
    batch_size: int,
    collate: dict[str, Callable[[list[dict[str, Any]]], Any]],
    device: str,
) -> list[Batch]:
    """Batches on the device.

    Args:
        rows: tokenised examples (input_ids and what else the tokenizer gives).
        padding: max (to ℓ), longest (of the batch, rows in given order), or sorted (by length,
            then as longest).
        collate: a collator for 'max' and one for 'longest'.

    Returns:
        Batches of the same rows whatever the padding; a batch without padding has no
        attention_mask, for every contender alike.
    """
    if padding == "sorted":
        rows = sorted(rows, key=lambda row: row["length"], reverse=True)
    pad = collate["max" if padding == "max" else "longest"]
    batches = []
    for start in range(0, len(rows), batch_size):
        part = [{k: v for k, v in row.items() if k in (*MODEL_INPUTS, "labels")} for row in rows[start:][:batch_size]]
        batch = {name: tensor.to(device) for name, tensor in pad(part).items() if name in MODEL_INPUTS}
        if bool(batch["attention_mask"].all()):
            del batch["attention_mask"]
        batches.append(batch)
    return batches
