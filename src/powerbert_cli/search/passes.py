"""A model's answers to the same inputs under one retention configuration after another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..encoder.inputs import main_input
from ..encoder.rows import Rows
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination

_KEPT = 2  # beginnings of a pass that are kept before each layer: the search's own, and that of the last candidate
_MOST = 2**31  # bytes that they may take; of more inputs every pass starts with its embeddings


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
        inputs = ([main_input(batch), *map(batch.get, ("attention_mask", "token_type_ids"))] for batch in batches)
        self._starts = [model.start(*own) for own in inputs]
        numbers = sum(rows.vectors.numel() * rows.vectors.element_size() for rows in self._starts)
        self._keeps = _KEPT * model.layers * numbers <= _MOST
        self._known: list[dict[tuple[float, ...], list[Rows]]] = [{} for _ in range(model.layers)]

    @torch.no_grad()
    def logits(self, elimination: Elimination) -> list[Tensor]:
        """Of each batch, under a configuration of the model's kind and strategy."""
        values, layers = tuple(elimination.retention.values), self.model.layers
        first = max((j for j in range(1, layers) if values[:j] in self._known[j]), default=0)
        begun = self._starts
        if first:
            begun = self._known[first].pop(values[:first])
            self._known[first][values[:first]] = begun  # the latest
        left: list[list[Rows]] = []
        found = []
        with self.model.eliminating(elimination):
            for rows in begun:
                own: list[Rows] = []
                found.append(self.model.answered(rows, first, own.append if self._keeps else None))
                left.append(own)
        self.layers_run += layers - first
        for j in range(first + 1, layers) if self._keeps else ():
            known = self._known[j]
            known[values[:j]] = [own[j - first - 1] for own in left]
            while len(known) > _KEPT:
                known.pop(next(iter(known)))
        return found
