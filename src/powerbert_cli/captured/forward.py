"""A pass over packed rows in buffers of fixed sizes, of which nothing asks how many rows are real.

Legend: B inputs and T rows of a bucket, T' rows that go on, D hidden, L layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoder.arranged import Arranged, Norm, arranged_layers, check_arrangeable
from ..encoder.shortened import ShortenedModel
from ..method.elimination import ByPosition, Elimination
from ..method.retention import Thresholds
from .buckets import Bucket
from .given import Given
from .operators import ACTIVATIONS, add_norm, attend, choose, gate, passing, put


class Forward:
    """
    Attributes:
        layers: as they are arranged.
        placed: whether it asks for places in the input.

    Args:
        flash: see `operators.attend`.

    Raises:
        NotArranged: it does not run this model; says why.
    """

    def __init__(self, model: ShortenedModel, flash: bool) -> None:
        check_arrangeable(model)
        self.model, self.flash, self.layers = model, flash, arranged_layers(model)
        weight, ranking = self.layers[0].qkv[0], model.elimination.ranking
        self.device, self.dtype = weight.device, weight.dtype
        self._diagonal = bool(getattr(ranking, "diagonal", True))
        self._priority: Tensor | None = None
        if isinstance(ranking, ByPosition):
            self._priority = ranking.priority.float().to(self.device).unsqueeze(0)
        self.placed = self._priority is not None or any(layer.placed for layer in self.layers)

    def __call__(self, given: Given, bucket: Bucket, elimination: Elimination) -> tuple[Tensor, Tensor | None]:
        """Logits (B, C) of the bucket's inputs, or (B, N, C) of a head that reads all.

        Of thresholds also 1 for each layer whose rows did not fit, else 0.
        """
        x = self.model.embedded(*(one.unsqueeze(0) for one in (given.ids, given.types, given.positions)))
        x = x[0].to(self.dtype)
        first = self.layers[0]
        h = _normed(x, None, None, first.norm1)[1] if first.leads and first.norm1 is not None else x
        starts, shield, at, over = given.starts[0], given.shield, given.at, list[Tensor]()
        restores, table, origin = self.model.reads == "all", None, None
        if restores and not self.placed:  # `at` carries where rows came from
            at = torch.arange(len(x), dtype=torch.int32, device=x.device)
        for j, layer in enumerate(self.layers):
            first_only = self.model.ends_in_first and j == len(self.layers) - 1
            drops = not first_only and elimination.retention.drops(j, elimination.seq_len)
            drops = drops and not elimination.retention.keeps_all(j, bucket.longest[j])
            context, scores = self._attended(layer, h, starts, bucket.longest[j], drops, first_only, at)
            rows, kept = None, starts
            if first_only:
                rows = starts[:-1].clamp(max=len(x) - 1)
            elif drops:
                if self._priority is not None:
                    assert at is not None
                    scores = self._priority.index_select(1, at)
                if restores:
                    table = x if table is None or origin is None else _put(table, origin, x, starts)
                of, room = (starts, bucket.longest[j], elimination.protected, shield), bucket.capacities[j + 1]
                if isinstance(elimination.retention, Thresholds):
                    counts = passing(scores, elimination.retention.values[j], *of)
                    rows, *carried, kept, too_many = choose(scores, counts, True, room, *of, at)
                    over.append(too_many)
                else:
                    kept = given.starts[j + 1]
                    rows, *carried, _, _ = choose(scores, kept, False, room, *of, at)
                shield, at = (None if one is None else own for one, own in zip((shield, at), carried, strict=True))
                if restores:
                    origin = at if not self.placed else rows if origin is None else origin.index_select(0, rows)
            context = context if rows is None else context.index_select(0, rows)
            following = self.layers[j + 1] if j + 1 < len(self.layers) else None
            x, h = _fed(layer, F.linear(context, *layer.output), x, rows, following)
            starts = kept
        if table is not None and origin is not None:
            x, starts = _put(table, origin, x, starts), given.starts[0]
        return self._read(x, starts, bucket.longest[0 if restores else -1]), torch.cat(over) if over else None

    def _attended(
        self, layer: Arranged, h: Tensor, starts: Tensor, longest: int, drops: bool, first_only: bool, at: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        qkv = F.linear(h, *layer.qkv).view(-1, 3, layer.heads, layer.size)
        sums, own = drops and self._priority is None, at if layer.placed else None
        tables = [layer.tables.get(name) for name in ("bias", "cos", "sin")]
        how = (sums, self._diagonal, first_only, self.flash)
        return attend(qkv, starts, longest, *how, own, *tables, layer.span, layer.window)

    def _read(self, x: Tensor, starts: Tensor, longest: int) -> Tensor:
        if self.model.ends_in_first:  # one row of each input is left
            return self.model.logits_of(x.unsqueeze(1), None)
        if self.model.reads_first:
            first = starts[:-1].clamp(max=len(x) - 1)
            return self.model.logits_of(x.index_select(0, first).unsqueeze(1), None)
        counts = starts.diff().unsqueeze(1)
        place = torch.arange(longest, device=x.device)
        rows = (starts[:-1].unsqueeze(1) + torch.minimum(place, counts - 1)).clamp(0, len(x) - 1)
        return self.model.logits_of(x.index_select(0, rows.flatten()).unflatten(0, rows.shape), place < counts)


def _put(table: Tensor, origin: Tensor, x: Tensor, starts: Tensor) -> Tensor:
    put(table, origin, x, starts)
    return table


def _fed(
    layer: Arranged, attended: Tensor, x: Tensor, rows: Tensor | None, following: Arranged | None
) -> tuple[Tensor, Tensor]:
    """Of the output projection (T', D) what goes on, and what the next layer's projection is given.

    Args:
        rows: (T',), those of x (T, D) that the projection is of; None for all.
    """
    if layer.leads:
        x, h = _normed(attended, x, rows, layer.norm2, sums=True)
        norm = following.norm1 if following is not None else None
        x, h = _normed(F.linear(_active(layer, h), *layer.down), x, None, norm, sums=True)
        return x, x if norm is None else h
    x = _normed(attended, x, rows, layer.norm1)[1]
    x = _normed(F.linear(_active(layer, x), *layer.down), x, None, layer.norm2)[1]
    return x, x


def _normed(
    x: Tensor, residual: Tensor | None, rows: Tensor | None, norm: Norm | None, sums: bool = False
) -> tuple[Tensor, Tensor]:
    weight, shift, eps = (None, None, 0.0) if norm is None else norm
    return add_norm(x, residual, rows, weight, shift, eps, sums)


def _active(layer: Arranged, h: Tensor) -> Tensor:
    """The feed-forward part's neurons, (T', F)."""
    weight, bias = layer.up
    gated, name = len(weight) == 2 * layer.neurons, layer.activation
    if h.is_cuda and bias is not None and not gated and name in ("gelu_tanh", "relu"):
        # cuBLAS has these two in the product's epilogue; its gelu is the one by tanh
        return torch._addmm_activation(bias, h, weight.t(), use_gelu=name == "gelu_tanh")
    raised = F.linear(h, weight, bias)
    return gate(raised, name) if gated else ACTIVATIONS[name](raised)
