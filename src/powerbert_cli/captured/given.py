"""What a pass is given: plan and word-pieces of a batch in one buffer of int32, sent at once.

Legend: B inputs and T rows of a bucket, L layers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .buckets import Bucket


class Given(NamedTuple):
    """Views of the buffer.

    Attributes:
        starts: (L + 1, B + 1) cumulative lengths; of thresholds (1, B + 1).
        ids, types, positions: (T,), what the embeddings are looked up by.
        shield: (T,), 1 for protected tokens. at: (T,), places in the input. None where nothing asks for them.
    """

    starts: Tensor
    ids: Tensor
    types: Tensor
    positions: Tensor
    shield: Tensor | None
    at: Tensor | None


@dataclass(frozen=True)
class Layout:
    """Where what stands in the buffer.

    Attributes:
        steps: rows of `starts`.
        shields, placed: whether there are a shield and places.
    """

    bucket: Bucket
    steps: int
    shields: bool
    placed: bool

    @property
    def size(self) -> int:
        """Of the buffer."""
        return self.steps * (self.bucket.inputs + 1) + (3 + self.shields + self.placed) * self.bucket.rows

    def views(self, buffer: Tensor) -> Given:
        begins = self.steps * (self.bucket.inputs + 1)
        ids, types, positions, *carried = buffer[begins:].view(-1, self.bucket.rows).unbind()
        shield = carried.pop(0) if self.shields else None
        at = carried.pop(0) if self.placed else None
        return Given(buffer[:begins].view(self.steps, -1), ids, types, positions, shield, at)

    def filled(self, bounds: Tensor, mask: Tensor | None, tables: dict[str, Tensor | None], pinned: bool) -> Tensor:
        """A buffer for a batch.

        Args:
            bounds: (steps, b + 1), b ≤ B: inputs beyond b have no word-vectors.
            mask: (b, n) bool, True for real word-pieces; None if all are.
            tables: (b, n) of each of `Given`, by name; 0 for those that are None.
            pinned: in memory that a GPU reads by itself.
        """
        buffer = torch.zeros(self.size, dtype=torch.int32, pin_memory=pinned)
        given, count = self.views(buffer), int(bounds[0, -1])
        given.starts[:, : bounds.shape[1]] = bounds
        given.starts[:, bounds.shape[1] :] = bounds[:, -1:]
        for name, table in tables.items():
            to = getattr(given, name)
            if to is not None and table is not None:
                to[:count] = table.flatten() if mask is None else table[mask]
        return buffer
