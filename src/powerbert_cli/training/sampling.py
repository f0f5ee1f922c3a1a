"""The order of training rows."""

from collections.abc import Iterator
from typing import Any

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochSampler(LengthGroupedSampler):
    """Batches of inputs of about the same length, in an order that follows from seed and epoch alone.

    transformers' own sampler draws from the global generator: a run that goes on in the middle of an
    epoch would draw another order, and so would each of several processes.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch)
        return super().__iter__()
