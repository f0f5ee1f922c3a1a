"""Which word-vectors a layer keeps, given their scores."""

import torch
from torch import Tensor


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
        scores = scores.masked_fill(~mask, float("-inf"))
    if protected:
        scores = scores.clone()
        scores[:, :protected] = float("inf")
    return scores


def select(scores: Tensor, keep: int, mask: Tensor | None, protected: int = 1, shield: Tensor | None = None) -> Tensor:
    """Positions of the `keep` most significant word-vectors, in the order of the text.

    The extract layer of the paper (section 3.3). An input with fewer than `keep` real
    word-vectors keeps all of them, and padding fills the rest.

    Args:
        scores: (B, N) float, see `significance`.
        keep: word-vectors to keep, 1 ≤ keep ≤ N.
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        protected: leading positions that are always kept ([CLS]).
        shield: (B, N) bool, True for further word-vectors that are kept as long as there is room.

    Returns:
        (B, keep) int64, ascending along the last dimension.

    Raises:
        ValueError: if keep is outside 1 … N.
    """
    return _order(scores, keep, mask, protected, shield).sort(dim=-1).values


def passing_counts(passing: Tensor, mask: Tensor | None, protected: int, shield: Tensor | None) -> Tensor:
    """How many word-vectors pass in each input: protected ones in any case, and at least one.

    Args:
        passing: (B, N) bool.
        mask, protected, shield: see `select`.

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


def select_counts(
    scores: Tensor, counts: Tensor, keep: int, mask: Tensor | None, protected: int = 1, shield: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Positions of the most significant word-vectors, of each input as many as its own count.

    Args:
        scores: (B, N) float.
        counts: (B,) int64, at most the input's real word-vectors.
        keep: K, the largest count.
        mask, protected, shield: see `select`.

    Returns:
        (B, K) int64, ascending, and (B, K) bool, False for what fills the inputs of smaller counts.
    """
    order = _order(scores, keep, mask, protected, shield)
    index, rank = order.sort(dim=-1)
    return index, rank < counts[:, None]


def _order(scores: Tensor, keep: int, mask: Tensor | None, protected: int, shield: Tensor | None) -> Tensor:
    """The first `keep` of `significance_order`."""
    n = scores.shape[-1]
    if isinstance(n, torch.SymInt):  # traced for inputs of any length; of equal scores TopK takes the first too
        ranked = _with_protected(scores, mask, protected, shield)
        return ranked.topk(torch.sym_min(keep, n), dim=-1).indices
    if not 1 <= keep <= n:
        raise ValueError(f"keep={keep} must be between 1 and the {n} word-vectors there are")
    return significance_order(scores, mask, protected, shield)[:, :keep]


def gather_vectors(vectors: Tensor, index: Tensor) -> Tensor:
    """Rows of `vectors` (B, N, D) at `index` (B, K) → (B, K, D).

    Whole rows are copied: `gather` would take an index for each number.
    """
    batch, n, _ = vectors.shape
    rows = index + n * torch.arange(batch, device=index.device).unsqueeze(-1)
    return vectors.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, index.shape)


def rows_of_heads(weights: Tensor, index: Tensor) -> Tensor:
    """Rows of attention weights (B, H, N, N) of the queries at `index` (B, K) → (B·H, K, N)."""
    batch, heads, n, _ = weights.shape
    first = n * torch.arange(batch * heads, device=index.device).view(batch, heads, 1)
    rows = (first + index.unsqueeze(1)).flatten()
    return weights.view(-1, n).index_select(0, rows).view(batch * heads, -1, n)
