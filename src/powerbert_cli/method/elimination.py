"""What is eliminated, and how the word-vectors to keep are chosen: one description for all models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .names import KINDS, RANKING, STRATEGIES
from .retention import RetentionError, check_fractions, check_lengths, check_thresholds, quota
from .selection import passing_counts, select, select_counts
from .significance import normalise


@dataclass(frozen=True)
class Elimination:
    """How an encoder eliminates word-vectors.

    Attributes:
        lengths: the absolute retention configuration (ℓ_1 … ℓ_L). Under `threshold` it is what the
            thresholds kept on average on dev, and serves as information only. None if `kind` is
            relative, and for a model whose configuration is yet to be searched.
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
        kind: absolute, or relative: layer j keeps ceil(f_j · n) of an input of n word-vectors.
        fractions: the relative retention configuration (f_1 … f_L).
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
    kind: str = "absolute"
    fractions: tuple[float, ...] | None = None

    @property
    def ranking(self) -> str:
        """attention, head or random."""
        return RANKING[self.strategy]

    @property
    def chosen_first(self) -> bool:
        """Whether positions alone decide, so that the choice needs no queries."""
        return self.ranking != "attention"

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
        if self.kind not in KINDS:
            raise RetentionError(f"kind={self.kind!r} is none of {', '.join(KINDS)}")
        if self.strategy == "none":
            return replace(self, kind="absolute", lengths=(self.seq_len,) * layers, fractions=None)
        if self.kind == "relative":
            if self.strategy == "threshold":
                raise RetentionError("strategy=threshold has no relative retention; thresholds are relative already")
            if self.lengths is not None:
                raise RetentionError("a relative retention has fractions, not lengths")
            return replace(self, fractions=check_fractions(self.fractions, layers))
        if self.fractions is not None:
            raise RetentionError("an absolute retention has lengths, not fractions")
        if self.strategy == "threshold":
            check_thresholds(self.thresholds, layers)
        if self.lengths is None:
            if self.strategy != "threshold":
                raise RetentionError(f"strategy={self.strategy} needs a retention configuration")
            return self
        return replace(self, lengths=check_lengths(self.lengths, self.seq_len, layers))

    @property
    def relative(self) -> bool:
        return self.kind == "relative"

    @property
    def configuration(self) -> tuple[int, ...] | tuple[float, ...] | None:
        """The lengths, or the fractions of a relative one."""
        return self.fractions if self.relative else self.lengths

    @property
    def kept_share(self) -> float | None:
        """Word-vectors kept over L · ℓ, or over L · n of a relative one, in (0, 1]; None if nothing is known."""
        if self.configuration is None:
            return None
        return sum(self.configuration) / (len(self.configuration) * (1 if self.relative else self.seq_len))

    def kept(self, n: int) -> tuple[int, ...]:
        """Word-vectors of an input of n that leave each layer, (L,); not for `threshold`."""
        if self.relative:
            assert self.fractions is not None
            return tuple(quota(fraction, n) for fraction in self.fractions)
        assert self.lengths is not None
        return tuple(min(length, n) for length in self.lengths)

    def keeps_all(self, j: int, n: int) -> bool:
        """Whether layer j (0-based) surely keeps all of n word-vectors, n ≤ ℓ."""
        if self.strategy == "threshold":
            assert self.thresholds is not None
            return self.thresholds[j] <= 0
        if self.relative:
            assert self.fractions is not None
            return self.fractions[j] >= 1
        assert self.lengths is not None
        return self.lengths[j] >= (self.seq_len if isinstance(n, torch.SymInt) else n)  # symbolic: for any length


def full(elimination: Elimination) -> Elimination:
    """The same, keeping all word-vectors."""
    return between(elimination, 0.0)


def between(elimination: Elimination, progress: float) -> Elimination:
    """On the straight way from keeping everything (progress 0) to the configuration itself (1)."""
    return _mixed(elimination, [1 - progress] * len(elimination.configuration or ()))


def drawn_between(elimination: Elimination, generator: torch.Generator) -> Elimination:
    """A configuration drawn between keeping everything and the configuration itself.

    Each layer's place between the two is drawn uniformly below a bound that is drawn too, and
    falls from layer to layer, so that mild and strong configurations come up alike.
    """
    layers = len(elimination.configuration or ())
    bound, *places = torch.rand(layers + 1, generator=generator).tolist()
    return _mixed(elimination, sorted((bound * place for place in places), reverse=True))


def _mixed(elimination: Elimination, places: Sequence[float]) -> Elimination:
    """Of each layer its own retention (place 0), full (1), or in between; places do not rise."""
    if elimination.relative:
        assert elimination.fractions is not None
        fractions = [own + (1 - own) * place for own, place in zip(elimination.fractions, places, strict=True)]
        return replace(elimination, fractions=check_fractions(fractions))
    assert elimination.lengths is not None
    n = elimination.seq_len
    lengths = [round(own + (n - own) * place) for own, place in zip(elimination.lengths, places, strict=True)]
    return replace(elimination, lengths=check_lengths(lengths, n))


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
    sizes: Tensor | None = None,
    longest: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Which word-vectors layer j (0-based) keeps.

    Args:
        scores: (B, N) float.
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        shield: (B, N) bool, True for word-vectors that are protected beyond the leading
            positions; None for none.
        sizes: (B,) int64, word-vectors that each input began with (relative only); None if all
            began with `longest`.
        longest: the largest of them (relative only).

    Returns:
        Positions (B, K), ascending, among the N, and the mask (B, K) of those that are real;
        None if all are.
    """
    if elimination.strategy == "threshold":
        assert elimination.thresholds is not None
        passing = normalise(scores, mask) >= elimination.thresholds[j]
        counts = passing_counts(passing, mask, elimination.protected, shield)
        index, real = select_counts(scores, counts, int(counts.max()), mask, elimination.protected, shield)
        return index, None if bool(real.all()) else real
    if elimination.relative:
        assert elimination.fractions is not None
        fraction = elimination.fractions[j]
        keep = quota(fraction, longest)
        if sizes is not None:
            counts = quota(fraction, sizes)
            return select_counts(scores, counts, keep, mask, elimination.protected, shield)
        return select(scores, keep, mask, elimination.protected, shield), None
    assert elimination.lengths is not None
    index = select(scores, elimination.lengths[j], mask, elimination.protected, shield)
    return index, None if mask is None else mask.gather(1, index)


def shield_of(input_ids: Tensor, tokens: Sequence[int]) -> Tensor | None:
    """Where the protected tokens stand: (B, N) bool, or None if there are none to look for."""
    if not tokens:
        return None
    return (input_ids.unsqueeze(-1) == torch.tensor(tokens, device=input_ids.device)).any(dim=-1)
