"""A model's inputs: which names they go by, and how many word-vectors they become.

Legend: B inputs, C choices of each, N word-vectors.
"""

from collections.abc import Sequence
from typing import Any

import torch

from ..encoder.family import PICTURES, SOUND, WORDS

SIGNALS = (PICTURES, SOUND)  # which are not cut to ℓ
MODEL_INPUTS = (WORDS, "attention_mask", "token_type_ids", *SIGNALS)
MEDIA = ("image", "audio", "samples")  # columns of encoded rows that a collator makes signals of
Batch = dict[str, torch.Tensor]


class OfSignals(Batch):
    """
    Attributes:
        lengths: word-vectors of each input, (B,), which signals do not say.
    """

    def __init__(self, inputs: Batch, lengths: Sequence[int]) -> None:
        super().__init__(inputs)
        self.lengths = list(lengths)


def is_of_signals(batch: Batch) -> bool:
    return any(name in batch for name in SIGNALS)


def inputs_in(batch: Batch) -> int:
    """B · C."""
    return len(lengths_in(batch))


def lengths_in(batch: Batch) -> list[int]:
    """Word-vectors of each input without padding, (B · C,)."""
    if is_of_signals(batch):
        return list(getattr(batch, "lengths", ()))
    mask, ids = batch.get("attention_mask"), batch["input_ids"].flatten(0, -2)
    return [ids.shape[1]] * len(ids) if mask is None else mask.flatten(0, -2).sum(dim=-1).tolist()


def padded_in(batch: Batch) -> int:
    """Word-vectors of all inputs with padding."""
    lengths = lengths_in(batch)
    return max(lengths, default=0) * len(lengths) if is_of_signals(batch) else batch["input_ids"].numel()


def moved(batch: Batch, device: Any) -> Batch:
    """The same on a device."""
    found = {name: tensor.contiguous().to(device) for name, tensor in batch.items()}
    return OfSignals(found, lengths_in(batch)) if is_of_signals(batch) else found
