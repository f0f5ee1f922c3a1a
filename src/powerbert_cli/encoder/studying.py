"""The plain encoder looked into: how alike its word-vectors are, and how it answers without one of them."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..method.elimination import Kept, plain
from ..method.selection import select_counts, significance_order
from ..method.similarity import mean_cosine
from .attention import attend
from .block import Block
from .driven import EliminationModel
from .families import family_of
from .packing import Group
from .rows import Rows, keep_all


class StudiedModel(EliminationModel):
    """A classifier that keeps everything, but for one word-vector if it is told so.

    Attributes:
        without: layer j (0-based) and rank k of what that layer drops, by significance; rank 0 is [CLS]. None for
            nothing. Inputs of k word-vectors or fewer lose nothing.
    """

    def __init__(self, host: PreTrainedModel, seq_len: int) -> None:
        super().__init__(host, plain(seq_len, family_of(host).layers(host.config)))
        self.without: tuple[int, int] | None = None

    def attention_half(self, j: int, block: Block, rows: Rows) -> Rows:
        drops = self.without is not None and self.without[0] == j
        pick = self._all_but_one(rows) if drops else keep_all
        return attend(block, rows, pick, self._ranking, self._dropout(block), self.training)

    def _all_but_one(self, rows: Rows) -> Callable[[Group, Callable[[], Tensor]], Kept]:
        assert self.without is not None
        k = self.without[1]

        def pick(group: Group, scores: Callable[[], Tensor]) -> Kept:
            now = rows.packing.sizes_of(group).now
            found = scores()
            order = significance_order(found, group.mask)
            gone = order[:, min(k, order.shape[1] - 1)]
            counts = now - (now > k).to(now)
            lowest = found.scatter(1, gone.unsqueeze(-1), -1.0)
            keep = int(counts.max())
            return Kept(*select_counts(lowest, counts.to(found.device), keep, group.mask), counts)

        return pick

    @torch.no_grad()
    def ranked(
        self,
        ranks: int,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **signal: Tensor | None,
    ) -> Tensor:
        """Positions of the most significant word-vectors beside [CLS] in each layer: (L, B, ranks).

        Inputs have more word-vectors than `ranks`.
        """
        found: list[Tensor] = []
        rows = self.start(input_ids, attention_mask, token_type_ids, False, **signal)
        for block in self.blocks():
            own: list[Tensor] = []

            def see(group: Group, scores: Callable[[], Tensor], own: list[Tensor] = own) -> None:
                own.append(significance_order(scores(), group.mask)[:, 1 : ranks + 1])

            rows = attend(block, rows, see, self._ranking, 0.0, False)
            rows = rows._replace(vectors=block.feed_forward(rows.vectors, False))
            found.append(rows.packing.in_batch_order(torch.cat(own)))
        return torch.stack(found)

    @torch.no_grad()
    def similarity(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **signal: Tensor | None,
    ) -> Tensor:
        """Mean cosine of the pairs of word-vectors of each input, of the embeddings and of each layer: (L + 1, B)."""
        found: list[Tensor] = []

        def see(rows: Rows) -> None:
            found.append(mean_cosine(*rows.packing.whole(rows.vectors)))

        start = self.start(input_ids, attention_mask, token_type_ids, False, **signal)
        see(start)
        self._encode(start, see, whole=True)
        return torch.stack(found)
