"""Batches of the epochs of a training: in an order that follows from seed and epoch, cut for several processes."""

import math
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from .. import processes
from ..errors import PowerbertError


class EpochBatches(Sampler[list[int]]):
    """Micro-batches of one process, in an order that follows from seed and epoch alone.

    transformers' own samplers draw from the global generator: a run that goes on in the middle of an
    epoch would draw another order, and so would each of several processes. Each batch of
    `batch_size` rows is cut into equal parts: the first micro-batch of each process, the second
    of each, and so on; so that however it is cut, the same rows make an optimiser step. What is
    left for an epoch's last batch is cut into parts that differ by one row at most.

    Args:
        rows: how many there are.
        batch_size: rows of one optimiser step, of all micro-batches and processes.
        accumulation: micro-batches of one optimiser step.
        lengths: of each row, to batch rows of about the same length; None for any order.

    Raises:
        PowerbertError: if an epoch's last batch has fewer rows than there are processes.
    """

    def __init__(
        self, rows: int, batch_size: int, accumulation: int, seed: int, lengths: list[int] | None = None
    ) -> None:
        self.rows, self.batch_size, self.accumulation = rows, batch_size, accumulation
        self.seed, self.lengths, self.epoch = seed, lengths, 0
        self.process, self.processes = processes.number(), processes.count()
        left = rows % batch_size
        if 0 < left < self.processes:
            raise PowerbertError(
                f"{rows} training rows leave {left} for the last batch of batch_size={batch_size}, fewer than the "
                f"{self.processes} processes; set task.max_train={rows - left}, or another batch_size"
            )

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows // self.batch_size * self.accumulation + self._parts_of(self.rows % self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        for start in range(0, self.rows, self.batch_size):
            batch = order[start : start + self.batch_size]
            pieces = self._parts_of(len(batch)) * self.processes
            cuts = [len(batch) * piece // pieces for piece in range(pieces + 1)]
            for piece in range(self.process, pieces, self.processes):
                yield batch[cuts[piece] : cuts[piece + 1]]

    def _parts_of(self, rows: int) -> int:
        """Micro-batches of each process that a batch of so many rows makes; each has a row in every process."""
        return min(math.ceil(rows * self.accumulation / self.batch_size), rows // self.processes)

    def _order(self) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.lengths is None:
            return torch.randperm(self.rows, generator=generator).tolist()
        return get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)


class EpochLoader(DataLoader):
    """A data loader that hands the epoch's number on to its batches."""

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        assert isinstance(self.batch_sampler, EpochBatches)
        self.batch_sampler.set_epoch(epoch)
