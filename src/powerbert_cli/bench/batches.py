"""The batches that contenders are timed on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..tasks.tokenizing import MODEL_INPUTS

Batch = dict[str, torch.Tensor]


def choose_rows(count: int, examples: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the rows to time: whole batches, drawn with a seed, in the order drawn; repeated if there are too few.

    The first rows of a file may be its shortest, or of one class.
    """
    wanted = max(batch_size, examples // batch_size * batch_size)
    order = np.random.default_rng(seed).permutation(count).tolist()
    return [order[i % count] for i in range(wanted)]


def bucket(length: int) -> int:
    """The length that a compiled model pads to: the next power of two, or one and a half of one, from 8 on.

    So an engine that compiles for each length does so a few times only.
    """
    size = 8
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def make_batches(
    rows: Sequence[dict[str, Any]],
    padding: str,
    batch_size: int,
    pad: Callable[[list[dict[str, Any]]], Any],
    device: str,
    seq_len: int,
    buckets: bool = False,
) -> list[Batch]:
    """Batches on the device.

    Args:
        rows: tokenised examples (input_ids and what else the tokenizer gives).
        padding: max (to ℓ), longest (of the batch, rows in given order), packed (the same, for an encoder
            that takes the padding out again), or sorted (by length, then as longest).
        pad: a collator that pads to ℓ, on the right.
        seq_len: no input is longer: ℓ, or less to cut.
        buckets: longest and sorted pad on to the next `bucket`.

    Returns:
        Batches of the same rows whatever the padding; a batch without padding has no
        attention_mask, for every contender alike.
    """
    if padding == "sorted":
        rows = sorted(rows, key=lambda row: row["length"], reverse=True)
    batches = []
    for start in range(0, len(rows), batch_size):
        part = [{k: v for k, v in row.items() if k in (*MODEL_INPUTS, "labels")} for row in rows[start:][:batch_size]]
        batch = {name: tensor[..., :seq_len] for name, tensor in pad(part).items() if name in MODEL_INPUTS}
        if padding != "max":
            longest = int(batch["attention_mask"].sum(dim=-1).max())
            length = bucket(longest) if buckets else longest
            batch = {name: tensor[..., :length] for name, tensor in batch.items()}
        if bool(batch["attention_mask"].all()):
            del batch["attention_mask"]
        batches.append({name: tensor.contiguous().to(device) for name, tensor in batch.items()})
    return batches
