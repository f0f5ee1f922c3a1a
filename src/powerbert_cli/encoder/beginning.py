"""How a batch begins: in which order its inputs are, which of its places are rows.

Legend: B inputs, N word-vectors of the longest, T rows.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..method.elimination import Sizes
from .inputs import real_mask
from .packing import Packing, packed, padded, sent


class Begun(NamedTuple):
    """
    Attributes:
        packing: where the rows stand.
        taken: the inputs in the order of the rows, (B,) int64 or all; longest: places of the longest. None for a batch
            that stays as it is.
        real: (T,) int64, the places that are rows among B · longest; None for all.
    """

    packing: Packing
    taken: Tensor | slice | None
    longest: Any
    real: Tensor | None

    def cut(self, table: Tensor | None) -> Tensor | None:
        """Something at all places (B, N, …), in the order of the rows and without what is padding in all: (B, n, …)."""
        return table if table is None or self.taken is None else table[self.taken, : self.longest]

    def rows(self, table: Tensor | None) -> Tensor | None:
        """Something cut (B, n, …) by rows (T, …)."""
        if table is None:
            return None
        flat = table.flatten(0, 1)
        return flat if self.real is None else flat.index_select(0, self.real)


def begin(
    shape: torch.Size, device: torch.device, attention_mask: Tensor | None, heads: int, padding_counts: bool
) -> Begun:
    """
    Args:
        shape: (B, N).
        attention_mask: (B, N); None if nothing is padded.
        heads: H, see `packing.packed`.
        padding_counts: padding is rows too, as it counts in significance.
    """
    inputs, n, compiling = shape[0], shape[1], torch.compiler.is_compiling()
    # a traced graph is told that both have one shape
    mask = None if attention_mask is None else attention_mask.expand(shape)
    # the one wait for a GPU: all that follows from lengths is worked out on the CPU
    mask = real_mask(mask if mask is None or compiling else mask.cpu())
    padding_counts = padding_counts and mask is not None
    if compiling or padding_counts:
        mask = None if mask is None else mask.to(device)
        sizes = torch.full((inputs,), n, device=device) if mask is None else mask.sum(dim=-1)
        packs = torch.compiler.is_exporting() and not padding_counts
        packing = padded(mask, n, Sizes(sizes, sizes, bound=n), heads, packs)
        return Begun(packing, None, n, None if packing.padding_is_rows else _real(mask, device))
    sizes = torch.full((inputs,), n) if mask is None else mask.sum(dim=-1)
    order: Tensor | None = None
    if bool((sizes[1:] > sizes[:-1]).any()):
        order = sizes.argsort(descending=True, stable=True)
        sizes = sizes[order]
    longest = n if mask is None else int(mask.any(dim=0).nonzero().max()) + 1
    packing = packed(Sizes(sizes, sizes), order, heads, device)
    if mask is None:
        return Begun(packing, None, n, None)
    mask = mask[slice(None) if order is None else order, :longest]
    taken = slice(None) if order is None else sent(order, device)
    return Begun(packing, taken, longest, None if packing.padding_is_rows else _real(mask, device))


def _real(mask: Tensor | None, device: torch.device) -> Tensor | None:
    return None if mask is None else mask.flatten().nonzero().squeeze(1).to(device, non_blocking=True)
