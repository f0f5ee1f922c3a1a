"""Which word-vectors a layer keeps, given their scores."""

import torch
from torch import Tensor

_LATER = 2**30  # beyond every place


def significance_order(scores: Tensor, mask: Tensor | None, protected: int = 1, shield: Tensor | None = None) -> Tensor:
    """Positions of the word-vectors by falling score.

    The first `protected` positions ([CLS]) lead, then those under the shield, each in their own
    order; padding comes last. Equal scores keep their order in the text, so the result is
    deterministic.

    Args:
        scores: (B, N) float.
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        protected: how many leading positions may never be eliminated.
        shield: (B, N) bool, True for further word-vectors that may not; None for none.

    Returns:
        (B, N) int64: `order[b, k]` is the position of the word-vector of rank k.
    """
    return torch.sort(_with_protected(scores, mask, protected, shield), dim=-1, descending=True, stable=True).indices


def _with_protected(scores: Tensor, mask: Tensor | None, protected: int, shield: Tensor | None) -> Tensor:
    """Scores in which the protected word-vectors lead and padding comes last."""
    scores = scores.float()
    if shield is not None:
        scores = scores.masked_fill(shield, torch.finfo(scores.dtype).max)
    if mask is not None:
        scores = torch.where(mask, scores, float("-inf"))
    if protected:
        scores = torch.cat((torch.full_like(scores[:, :protected], float("inf")), scores[:, protected:]), dim=1)
    return scores


def passing_counts(passing: Tensor, mask: Tensor | None, protected: int, shield: Tensor | None) -> Tensor:
    """How many word-vectors pass in each input: protected ones in any case, and at least one.

    Args:
        passing: (B, N) bool.
        mask, protected, shield: see `significance_order`.

    Returns:
        (B,) int64.
    """
    passing = passing.clone()
    passing[:, :protected] = True
    if shield is not None:
        passing |= shield
    if mask is not None:
        passing &= mask
    return passing.sum(dim=-1).clamp(min=1)


def select(scores: Tensor, keep: int, mask: Tensor | None, protected: int = 1, shield: Tensor | None = None) -> Tensor:
    """Positions of the `keep` most significant word-vectors of each input, in the order of the text: (B, keep) int64.

    The extract layer of the paper (section 3.3). Args and Raises: as of `select_counts`.
    """
    return _order(scores, keep, mask, protected, shield).sort(dim=-1).values


def select_counts(
    scores: Tensor, counts: Tensor, keep: int, mask: Tensor | None, protected: int = 1, shield: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Positions of the most significant word-vectors, of each input as many as its own count, in the order of the text.

    Args:
        scores: (B, N) float.
        counts: (B,) int64, at most the input's real word-vectors.
        keep: K, the largest count.
        mask, protected, shield: see `significance_order`; shielded ones are kept as long as there is room.

    Returns:
        (B, K) int64 and (B, K) bool, False for what fills inputs of smaller counts: it comes last.

    Raises:
        ValueError: if keep is outside 1 … N.
    """
    order = _order(scores, keep, mask, protected, shield)
    fills = torch.arange(order.shape[-1], device=order.device) >= counts.unsqueeze(-1)
    places = (order + _LATER * fills).sort(dim=-1).values
    real = places < _LATER
    return places - _LATER * ~real, real


def _order(scores: Tensor, keep: int, mask: Tensor | None, protected: int, shield: Tensor | None) -> Tensor:
    """The first `keep` of `significance_order`."""
    n = scores.shape[-1]
    if torch.compiler.is_exporting() or isinstance(n, torch.SymInt):  # of equal scores TopK takes the first too
        ranked = _with_protected(scores, mask, protected, shield)
        return ranked.topk(torch.sym_min(keep, n), dim=-1).indices  # n may be any
    if not 1 <= keep <= n:
        raise ValueError(f"keep={keep} must be between 1 and the {n} word-vectors there are")
    return significance_order(scores, mask, protected, shield)[:, :keep]


def rows_of_heads(weights: Tensor, index: Tensor) -> Tensor:
    """Rows of attention weights (B, H, N, N) of the queries at `index` (B, K) → (B·H, K, N)."""
    batch, heads, n, _ = weights.shape
    begin = n * torch.arange(batch * heads, device=index.device).view(batch, heads, 1)
    rows = (begin + index.unsqueeze(1)).flatten()
    return weights.view(-1, n).index_select(0, rows).view(batch * heads, -1, n)
