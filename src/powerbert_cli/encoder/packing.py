"""Packed rows: where the word-vectors of a batch stand, and how attention takes them.

Between layers a batch is its word-vectors, row after row (T, D), one input after the other and the longest first.
Linear layers, norms and feed-forward parts see rows alone. For attention, inputs of about equal lengths are padded to
one length, in groups small enough for their attention weights to stay in a CPU's cache.

While a graph is traced, shapes may not depend on values, so all inputs are padded to one length. In torch.compile, and
where padding counts in significance (the paper's protocol), padding is rows too.

Legend: B inputs, N word-vectors of the longest, T rows, P padded places; b inputs and n places each of one group.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..method.elimination import Kept, Sizes

# At n = 256 a few inputs at a time take less than half the time of all weights written to memory and read back.
_CACHE = 2**20  # attention weights of a group, in numbers
_WASTE = 2**16  # of them that a group may have at padding: one group more costs about as much


class Group(NamedTuple):
    """Inputs of about equal lengths.

    Attributes:
        inputs: which of the packing's inputs.
        places: their padded places; None if they are all of the batch's.
        length: n, to which they are padded.
        mask: (b, n) bool, True for real word-vectors; None if nothing is padded.
    """

    inputs: slice
    places: slice | None
    length: Any
    mask: Tensor | None

    @property
    def count(self) -> Any:
        """b"""
        return self.inputs.stop - self.inputs.start

    def table(self, padded: Tensor) -> Tensor:
        """Of something at all padded places (P, …) this group's: (b, n, …)."""
        return (padded if self.places is None else padded[self.places]).unflatten(0, (self.count, self.length))

    def all(self, sizes: Sizes, device: torch.device) -> Kept:
        """What it keeps if it keeps all."""
        index = torch.arange(self.length, device=device).expand(self.count, -1)
        return Kept(index, self.mask, sizes.now[self.inputs])

    def firsts(self, sizes: Sizes, device: torch.device) -> Kept:
        """What it keeps if it keeps [CLS] alone."""
        index = torch.zeros(self.count, 1, dtype=torch.long, device=device)
        return Kept(index, None, torch.ones_like(sizes.now[self.inputs]))


@dataclass(frozen=True)
class Packing:
    """Where the rows of a batch are.

    Attributes:
        sizes: of the inputs, in the order of the rows.
        order: (B,) int64, the place in the batch of each input; None if they came in this order.
        groups: for attention.
        source: (P,) int64, the row at each padded place; None if the rows are the padded places.
        places: (T,) int64, the padded place of each row; None likewise.
    """

    sizes: Sizes
    order: Tensor | None
    groups: tuple[Group, ...]
    source: Tensor | None = None
    places: Tensor | None = None

    @property
    def padding_is_rows(self) -> bool:
        return self.sizes.bound is not None and self.source is None

    def sizes_of(self, group: Group) -> Sizes:
        return self.sizes._replace(begun=self.sizes.begun[group.inputs], now=self.sizes.now[group.inputs])

    def pad(self, rows: Tensor) -> Tensor:
        """(T, …) → (P, …); what stands at padding is of no meaning, but finite."""
        return rows if self.source is None else rows.index_select(0, self.source)

    def unpad(self, padded: Tensor) -> Tensor:
        """(P, …) → (T, …)."""
        return padded if self.places is None else padded.index_select(0, self.places)

    def rows_of(self, kept: Sequence[Kept]) -> Tensor:
        """The rows of what the groups keep, one group after the other, with what fills inputs up."""
        places = []
        for group, one in zip(self.groups, kept, strict=True):
            if isinstance(group.count, int) and group.count == 1 and group.places is None:
                return one.places[0]
            begin = 0 if group.places is None else group.places.start
            begins = torch.arange(group.count, device=one.places.device) * group.length + begin
            places.append((one.places + begins.unsqueeze(-1)).flatten())
        found = joined(places)
        return found if self.source is None else self.source.index_select(0, found)

    @property
    def real_rows(self) -> Tensor | None:
        """(T,) bool, rows that are not padding; None if all are."""
        masks = [group.mask.flatten() for group in self.groups if group.mask is not None]
        return torch.cat(masks) if masks and self.padding_is_rows else None

    def bounds(self, device: torch.device) -> tuple[Tensor, Any]:
        """(B + 1,) int32, where the rows of each input begin and the last ones end; and the longest input's number."""
        if self.padding_is_rows:
            length = self.groups[0].length
            steps = torch.arange(self.sizes.now.shape[0] + 1, dtype=torch.int32, device=device)
            return steps * length, length
        return sent(F.pad(self.sizes.now.cumsum(0), (1, 0)).to(torch.int32), device), int(self.sizes.now.max())

    def in_batch_order(self, inputs: Tensor) -> Tensor:
        """Something of each input (B, …), in the order of the batch."""
        return inputs if self.order is None else inputs.index_select(0, sent(self.order.argsort(), inputs.device))

    def whole(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """All inputs padded to the longest, in the order of the batch: (T, …) → (B, N, …), and their mask (B, N)."""
        sizes = self.sizes.now
        if self.sizes.bound is not None:
            masks = [group.mask for group in self.groups if group.mask is not None]
            table = self.pad(rows).unflatten(0, (sizes.shape[0], self.groups[0].length))
            return table, torch.cat(masks) if masks else None
        n, starts = int(sizes.max()), sizes.cumsum(0) - sizes
        place = torch.arange(n).expand(len(sizes), n)
        source = starts.unsqueeze(-1) + torch.minimum(place, sizes.unsqueeze(-1) - 1)
        source, mask = (sent(self.in_batch_order(one), rows.device) for one in (source, place < sizes.unsqueeze(-1)))
        table = rows.index_select(0, source.flatten()).unflatten(0, source.shape)
        return table, None if n == int(sizes.min()) else mask

    def after(self, kept: Sequence[Kept], heads: int, device: torch.device) -> tuple["Packing", Tensor | None]:
        """What is left when each group keeps `kept`.

        Returns:
            The packing of the rows that go on, and where each of them (T',) is among `rows_of` the same; None if they
            are those, in this order.
        """
        counts = joined([one.counts for one in kept])
        sizes = self.sizes._replace(now=counts)
        if sizes.bound is not None:
            masks = [one.real for one in kept if one.real is not None]
            mask = joined(masks) if masks else None
            after = padded(mask, kept[0].places.shape[1], sizes, heads, packs=self.source is not None)
            return after, after.places
        if len(kept) == 1 and kept[0].real is None:
            return packed(sizes, self.order, heads, device), None
        now, order = counts.numpy(), self.order
        width = np.repeat([one.places.shape[1] for one in kept], [one.places.shape[0] for one in kept])
        begin = width.cumsum() - width
        if (now[1:] > now[:-1]).any():
            by_size = np.argsort(-now, kind="stable")
            place = torch.from_numpy(by_size)
            sizes = Sizes(sizes.begun[place], counts[place])
            order = place if order is None else order[place]
            taken = _ranges(begin[by_size], now[by_size])
        elif (now == width).all():
            return packed(sizes, order, heads, device), None
        else:
            taken = _ranges(begin, now)
        return packed(sizes, order, heads, device), sent(torch.from_numpy(taken), device)


def _ranges(begin: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """begin[0], begin[0] + 1, … of counts[0] numbers, then those of the next."""
    return np.repeat(begin - counts.cumsum() + counts, counts) + np.arange(counts.sum())


def sent(indices: Tensor, device: torch.device) -> Tensor:
    """To the device, which goes on with its work meanwhile: a wait for each of a layer's indices would stop it."""
    return indices.to(device, non_blocking=True)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """One after the other."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def packed(sizes: Sizes, order: Tensor | None, heads: int, device: torch.device) -> Packing:
    """The packing of real word-vectors only.

    Args:
        sizes: on the CPU, not rising.
        heads: H, of whose attention weights a group is bounded on a CPU. On a GPU all inputs are one.
    """
    lengths, groups = sizes.now.tolist(), list[tuple[slice, int, bool]]()
    if len(lengths) == 1:
        return Packing(sizes, order, (Group(slice(0, 1), None, lengths[0], None),))
    limit, allowed = (_CACHE, _WASTE) if device.type == "cpu" else (math.inf, math.inf)
    start = 0
    while start < len(lengths):
        n, end, waste = lengths[start], start + 1, 0
        while end < len(lengths) and heads * n * n * (end + 1 - start) <= limit:
            waste += heads * (n * n - lengths[end] ** 2)
            if waste > allowed:
                break
            end += 1
        groups.append((slice(start, end), n, lengths[end - 1] == n))
        start = end
    counts = np.array([inputs.stop - inputs.start for inputs, _, _ in groups])
    lens = np.array([n for _, n, _ in groups])
    bounds = (counts * lens).cumsum().tolist()
    spans = [slice(bound - int(size), bound) for bound, size in zip(bounds, counts * lens, strict=True)]
    if all(even for _, _, even in groups):
        made = (Group(inputs, span, n, None) for (inputs, n, _), span in zip(groups, spans, strict=True))
        return Packing(sizes, order, tuple(made))
    now, to = sizes.now.numpy(), np.repeat(lens, counts)
    places = _ranges(to.cumsum() - to, now)
    real = np.zeros(bounds[-1], dtype=bool)
    real[places] = True
    # padding repeats the row before it
    source, mask = (sent(torch.from_numpy(one), device) for one in (real.cumsum() - 1, real))
    made = (
        Group(inputs, span, n, None if even else mask[span].unflatten(0, (-1, n)))
        for (inputs, n, even), span in zip(groups, spans, strict=True)
    )
    return Packing(sizes, order, tuple(made), source, sent(torch.from_numpy(places), device))


def padded(mask: Tensor | None, length: Any, sizes: Sizes, heads: int, packs: bool = False) -> Packing:
    """The packing of inputs that are all padded to one length.

    Args:
        mask: (B, length) bool; None if nothing is padded.
        packs: real word-vectors alone are rows, in a graph whose operators find them; else padding is rows too,
            B · length of them.
    """
    inputs = sizes.now.shape[0]
    if torch.compiler.is_compiling() or sizes.now.device.type != "cpu":
        alone = (Group(slice(0, inputs), None, length, mask),)
        if mask is None or not packs:
            return Packing(sizes, None, alone)
        real = mask.flatten()
        return Packing(sizes, None, alone, real.cumsum(0) - 1, real.nonzero().squeeze(1))
    step = max(1, _CACHE // (heads * length * length))
    groups = []
    for start in range(0, inputs, step):
        end = min(start + step, inputs)
        own = None if mask is None else mask[start:end]
        groups.append(Group(slice(start, end), slice(start * length, end * length), length, own))
    return Packing(sizes, None, tuple(groups))
