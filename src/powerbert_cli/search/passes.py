"""A model's answers to the same inputs under one retention configuration after another."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ..encoder.inputs import main_input
from ..encoder.rows import Rows
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination

_KEPT = 2  # beginnings of a pass that are kept before each layer: the search's own, and that of the last candidate
_MOST = 2**31  # bytes that they may take, half as many more during a pass; of more inputs every pass embeds them anew


class Passes:
    """Runs a pass from the first layer on in which its configuration differs from those before.

    A search changes one layer at a time, most often a late one, and the layers before that one see what they saw.

    Args:
        model: whose head does not read all; in evaluation mode.
        batches: its inputs, on its device.

    Attributes:
        layers_run: by all passes together.
    """

    def __init__(self, model: ShortenedModel, batches: Sequence[dict[str, Tensor]]) -> None:
        self.model, self.layers_run = model, 0
        self._inputs = [[main_input(batch), *map(batch.get, ("attention_mask", "token_type_ids"))] for batch in batches]
        self._starts: list[Rows] = []
        self._kept, size = _KEPT, 0
        for rows in self._begun():
            size += rows.vectors.numel() * rows.vectors.element_size()
            self._kept = min(_KEPT, _MOST // (model.layers * size))
            if not self._kept:
                self._starts = []
                break
            self._starts.append(rows)
        self._known: list[dict[tuple[float, ...], list[Rows]]] = [{} for _ in range(model.layers)]

    def _begun(self) -> Iterator[Rows]:
        """What enters the first layer, batch by batch."""
        return (self.model.start(*own) for own in self._inputs)

    @torch.no_grad()
    def logits(self, elimination: Elimination) -> list[Tensor]:
        """Of each batch, under a configuration of the model's kind and strategy."""
        values, layers = tuple(elimination.retention.values), self.model.layers
        first = max((j for j in range(1, layers) if values[:j] in self._known[j]), default=0)
        begun: Iterable[Rows] = self._starts or self._begun()
        if first:
            begun = latest = self._known[first].pop(values[:first])
            self._known[first][values[:first]] = latest
        left: list[list[Rows]] = []
        found = []
        with self.model.eliminating(elimination):
            for rows in begun:
                own: list[Rows] = []
                found.append(self.model.answered(rows, first, own.append if self._kept else None))
                left.append(own)
        self.layers_run += layers - first
        for j in range(first + 1, layers) if self._kept else ():
            known = self._known[j]
            known[values[:j]] = [own[j - first - 1] for own in left]
            while len(known) > self._kept:
                known.pop(next(iter(known)))
        return found
