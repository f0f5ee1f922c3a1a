"""Dropped word-vectors for heads that read all: each answers with its state when it was dropped.

Drop-and-Restore of the Length-Adaptive Transformer (Kim and Cho, 2021): a table begins as the embeddings, and what each
layer keeps is written into it. Exact where nothing is dropped.

Legend: T rows at the beginning, T' rows that are left, D hidden.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .packing import Packing


class Restoring(NamedTuple):
    """
    Attributes:
        table: (T, D), the last states so far; None before any was dropped.
        origin: (T',) int64, where in the table each row that goes on stands; None if none was dropped, as in a search.
        packing: where rows stood at the beginning; None where the caller knows it.
    """

    table: Tensor | None = None
    origin: Tensor | None = None
    packing: Packing | None = None

    def dropping(self, vectors: Tensor, rows: Tensor) -> "Restoring":
        """When of rows with these vectors (T', D) those at `rows` go on."""
        origin = rows if self.origin is None else self.origin.index_select(0, rows)
        return self._replace(table=self.restored(vectors), origin=origin)

    def restored(self, vectors: Tensor) -> Tensor:
        """All word-vectors (T, D), of which these (T', D) are left."""
        if self.table is None:
            return vectors
        if self.origin is None:  # mixed, the last layer's vectors too
            return self.table
        return self.table.index_copy(0, self.origin, vectors.to(self.table.dtype))

    def mixed(self, vectors: Tensor, shares: Tensor) -> "Restoring":
        """While a search lets all go on, to a share each (T,) in [0, 1]: for the rest they keep the state before.

        Shares of 1 and 0 are what keeping and dropping write.
        """
        assert self.table is not None
        return self._replace(table=torch.lerp(self.table, vectors, shares.unsqueeze(-1).to(vectors.dtype)))
