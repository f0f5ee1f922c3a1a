"""What is eliminated, and how the word-vectors to keep are chosen: one description for all models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .names import RANKING, STRATEGIES
from .retention import RetentionError, check_lengths, check_thresholds
from .selection import select, select_counts
from .significance import normalise


@dataclass(frozen=True)
class Elimination:
    """How an encoder eliminates word-vectors.

    Attributes:
        lengths: the retention configuration (ℓ_1 … ℓ_L). Under `threshold` it is what the
            thresholds kept on average on dev, and serves as information only. None for a
            model whose configuration is yet to be searched.
        seq_len: ℓ.
        strategy: attention (Attn-WS of the paper), head (Head-WS), random (Rand-WS), threshold
            (those whose normalised significance reaches θ_j, per input), merge (as attention,
            but a dropped word-vector is averaged into the kept one most like it) or none.
        thresholds: (θ_1 … θ_L) of `threshold`; a word-vector of average significance has 1.
        protected: leading positions that are never eliminated ([CLS]).
        protected_tokens: ids of further tokens that are never eliminated (separators).
        random_order: (ℓ,) of `random`: positions in the order in which they are kept.
        diagonal: count what a word-vector takes from itself.
        pad_queries: count what padding takes; the choice then depends on the padding.
    """

    lengths: tuple[int, ...] | None
    seq_len: int
    strategy: str = "attention"
    thresholds: tuple[float, ...] | None = None
    protected: int = 1
    protected_tokens: tuple[int, ...] = ()
    random_order: tuple[int, ...] | None = None
    diagonal: bool = True
    pad_queries: bool = False

    @property
    def ranking(self) -> str:
        """attention, head or random."""
        return RANKING[self.strategy]

    @property
    def merges(self) -> bool:
        return self.strategy == "merge"

    def checked(self, layers: int) -> "Elimination":
        """Itself, if it fits a model of that many layers.

        Raises:
            RetentionError: names the entry and the rule that it breaks.
        """
        if self.strategy not in RANKING:
            raise RetentionError(f"strategy={self.strategy!r} is none of {', '.join(STRATEGIES)}")
        if self.strategy == "random" and sorted(self.random_order or ()) != list(range(self.seq_len)):
            raise RetentionError(f"random_order must name each of the {self.seq_len} positions once")
        if self.strategy == "threshold":
            check_thresholds(self.thresholds, layers)
        lengths = self.lengths
        if self.strategy == "none":
            lengths = (self.seq_len,) * layers
        if lengths is None:
            if self.strategy != "threshold":
                raise RetentionError(f"strategy={self.strategy} needs a retention configuration")
            return self
        return replace(self, lengths=check_lengths(lengths, self.seq_len, layers))

    def keeps_all(self, j: int, n: int) -> bool:
        """Whether layer j (0-based) surely keeps all of n word-vectors, n ≤ ℓ."""
        if self.strategy == "threshold":
            assert self.thresholds is not None
            return self.thresholds[j] <= 0
        assert self.lengths is not None
        return self.lengths[j] >= (self.seq_len if isinstance(n, torch.SymInt) else n)  # symbolic: for any length


def draw_random_order(seq_len: int, seed: int) -> tuple[int, ...]:
    """Rand-WS: the positions 0 … ℓ-1 in an order drawn once; a layer keeps the first ones."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randperm(seq_len, generator=generator).tolist())


def position_scores(elimination: Elimination, positions: Tensor, priority: Tensor | None) -> Tensor:
    """Scores of `head` and `random`, which look at positions in the input alone.

    Args:
        positions: (B, N) int64.
        priority: (ℓ,) int64 of `random`: higher is kept longer.

    Returns:
        (B, N) float32.
    """
    if elimination.ranking == "head":
        return -positions.float()
    assert priority is not None
    return priority[positions].float()


def choose(
    elimination: Elimination,
    j: int,
    scores: Tensor,
    mask: Tensor | None,
    shield: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Which word-vectors layer j (0-based) keeps.

    Args:
        scores: (B, N) float.
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        shield: (B, N) bool, True for word-vectors that are protected beyond the leading
            positions; None for none.

    Returns:
        Positions (B, K), ascending, among the N, and the mask (B, K) of those that are real;
        None if all are.
    """
    if elimination.strategy == "threshold":
        assert elimination.thresholds is not None
        passing = normalise(scores, mask) >= elimination.thresholds[j]
        return select_counts(scores, passing, mask, elimination.protected, shield)
    assert elimination.lengths is not None
    index = select(scores, elimination.lengths[j], mask, elimination.protected, shield)
    return index, None if mask is None else mask.gather(1, index)


def shield_of(input_ids: Tensor, tokens: Sequence[int]) -> Tensor | None:
    """Where the protected tokens stand: (B, N) bool, or None if there are none to look for."""
    if not tokens:
        return None
    return (input_ids.unsqueeze(-1) == torch.tensor(tokens, device=input_ids.device)).any(dim=-1)
