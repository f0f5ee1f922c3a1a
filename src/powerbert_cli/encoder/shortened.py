"""The shortened encoder around a Hugging Face classifier."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..method.elimination import Elimination, Kept, choose
from ..method.retention import RetentionError
from .attention import attend, attend_for
from .block import Block
from .driven import EliminationModel
from .packing import Group
from .parts import part
from .rows import Rows, keep_all


class ShortenedModel(EliminationModel):
    """Extract layers: layer j really drops all but its most significant word-vectors.

    Args:
        host: a classifier of a supported family.
        elimination: with the retention configuration.

    Raises:
        RetentionError: if the configuration does not fit the model or ℓ.
    """

    def __init__(self, host: PreTrainedModel, elimination: Elimination) -> None:
        super().__init__(host, elimination)
        self.elimination = self._fitting(elimination)

    def _fitting(self, elimination: Elimination) -> Elimination:
        checked = elimination.checked(self.layers)
        if checked.merges and self.reads == "all":
            raise RetentionError(
                "strategy=merge puts dropped word-vectors into others, and this head reads each by itself; take "
                "strategy=attention"
            )
        if not checked.chosen_beforehand:
            for j, block in enumerate(self.blocks()):
                if not block.heads and checked.retention.drops(j, self.seq_len):
                    raise RetentionError(
                        f"layer {j + 1} has no heads, whose attention would say which word-vectors to drop; let it "
                        "keep as many as the layer before, or make the model with compress.least_heads=1"
                    )
        return checked

    @contextmanager
    def eliminating(self, elimination: Elimination) -> Iterator[None]:
        """Within it the model has another retention configuration, of the same kind and strategy."""
        before, self.elimination = self.elimination, elimination.checked(self.layers)
        try:
            yield
        finally:
            self.elimination = before

    def attention_half(self, j: int, block: Block, rows: Rows) -> Rows:
        dropout, packing = self._dropout(block), rows.packing
        longest, retention = packing.groups[0].length, self.elimination.retention
        # A traced graph knows no lengths: there the configuration alone says where nothing is dropped.
        whole = not isinstance(longest, torch.SymInt) and retention.keeps_all(j, longest)
        if whole or not retention.drops(j, self.seq_len):
            return attend(block, rows, keep_all, self._ranking, dropout, self.training)
        if not self.elimination.chosen_beforehand:

            def pick(group: Group, scores: Callable[[], Tensor]) -> Kept | None:
                return self._pick(j, rows, group, scores)

            return attend(block, rows, pick, self._ranking, dropout, self.training, self.elimination.merges)
        device = rows.vectors.device
        kept = [
            self._pick(j, rows, group, partial(self._by_position, rows, group)) or group.all(packing.sizes, device)
            for group in packing.groups
        ]
        return attend_for(block, rows, kept, dropout, self.training)

    def _pick(self, j: int, rows: Rows, group: Group, scores: Callable[[], Tensor]) -> Kept | None:
        """What layer j keeps of a group's inputs; None, without any scores, if that is all."""
        sizes = rows.packing.sizes_of(group)
        counts = None if sizes.bound is not None else self.elimination.retention.counts(j, sizes.begun, sizes.now)
        if counts is not None and torch.equal(counts, sizes.now):
            return None
        found = scores()
        with part("select"):
            return choose(self.elimination, j, found, group.mask, rows.table(group, rows.shield), sizes)
