"""What is eliminated: one description for all models, and the choice of the word-vectors to keep.

It says what ranks word-vectors, how many of them are kept, and what becomes of the dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .names import KINDS, STRATEGIES
from .retention import Fractions, Lengths, Retention, RetentionError, Thresholds
from .selection import passing_counts, select, select_counts
from .significance import normalise

MERGING = "proportional"  # [CLS] takes none in, keys count by what they stand for; files without it did neither


@dataclass(frozen=True)
class ByAttention:
    """Word-vectors rank by the attention that they receive (Attn-WS of the paper).

    Attributes:
        diagonal: count what a word-vector takes from itself.
        pad_queries: count what padding takes; the choice then depends on the padding.
    """

    diagonal: bool = True
    pad_queries: bool = False


@dataclass(frozen=True)
class ByPosition:
    """Word-vectors rank by their positions in the input alone, so that the choice needs no queries.

    Attributes:
        order: (ℓ,) positions in the order in which they are kept: ascending in Head-WS, drawn in Rand-WS.
    """

    order: tuple[int, ...]

    @property
    def priority(self) -> Tensor:
        """(ℓ,) int64, by position: higher is kept longer. Integers: bfloat16 has no 257."""
        return -torch.tensor(self.order).argsort()


@dataclass(frozen=True)
class Elimination:
    """How an encoder eliminates word-vectors.

    Attributes:
        retention: how many each layer keeps.
        seq_len: ℓ.
        ranking: which of them.
        merges: a dropped word-vector is averaged into the kept one most like it but for [CLS]; else it is lost.
        protected: leading positions that are never eliminated ([CLS]).
        protected_tokens: ids of further tokens that are never eliminated (separators).
        protected_until: id of the token (a separator) before whose first all others are not either: the first text of a
            pair; None protects none of it.
    """

    retention: Retention
    seq_len: int
    ranking: ByAttention | ByPosition = ByAttention()
    merges: bool = False
    protected: int = 1
    protected_tokens: tuple[int, ...] = ()
    protected_until: int | None = None

    def checked(self, layers: int) -> "Elimination":
        """Itself, if it fits a model of that many layers.

        Raises:
            RetentionError: names the entry and the rule that it breaks.
        """
        if isinstance(self.ranking, ByPosition) and sorted(self.ranking.order) != list(range(self.seq_len)):
            raise RetentionError(f"random_order must name each of the {self.seq_len} positions once")
        return replace(self, retention=self.retention.checked(self.seq_len, layers))

    def keeping_all(self) -> "Elimination":
        """The same with nothing dropped."""
        return replace(self, retention=self.retention.everything(self.seq_len, len(self.retention.values)))

    @property
    def shields(self) -> bool:
        """Whether it protects more than leading positions."""
        return bool(self.protected_tokens) or self.protected_until is not None

    def shield(self, input_ids: Tensor) -> Tensor | None:
        """Where these stand in inputs: (B, N) bool, or None if there are none to look for."""
        shield = shield_of(input_ids, self.protected_tokens)
        if self.protected_until is None:
            return shield
        first = (input_ids == self.protected_until).cumsum(dim=-1) == 0
        return first if shield is None else first | shield

    @property
    def chosen_beforehand(self) -> bool:
        """Whether positions alone decide, so that the choice needs no queries."""
        return isinstance(self.ranking, ByPosition)

    @property
    def pad_queries(self) -> bool:
        return isinstance(self.ranking, ByAttention) and self.ranking.pad_queries

    @property
    def relative(self) -> bool:
        return isinstance(self.retention, Fractions)

    @property
    def strategy(self) -> str:
        """Its name among `STRATEGIES`."""
        if isinstance(self.ranking, ByPosition):
            return "head" if self.ranking.order == tuple(range(self.seq_len)) else "random"
        if isinstance(self.retention, Thresholds):
            return "threshold"
        return "merge" if self.merges else "attention"

    def kept(self, n: int) -> tuple[int, ...]:
        """Word-vectors of an input of n that leave each layer, (L,); not of thresholds."""
        return tuple(int(self.retention.most(j, n, n)) for j in range(len(self.retention.values)))


def plain(seq_len: int, layers: int) -> Elimination:
    """The elimination of a plain model: nothing is dropped."""
    return Elimination(Lengths((seq_len,) * layers), seq_len)


def to_keys(elimination: Elimination) -> dict[str, Any]:
    """The description as flat keys, as files have it; see `from_keys`."""
    retention, ranking = elimination.retention, elimination.ranking
    values: dict[str, Any] = {"lengths": None, "fractions": None, "thresholds": None}
    values[type(retention).__name__.lower()] = retention.values
    return {
        "seq_len": elimination.seq_len,
        "strategy": elimination.strategy,
        "protected": elimination.protected,
        "protected_tokens": elimination.protected_tokens,
        "random_order": getattr(ranking, "order", None) if elimination.strategy == "random" else None,
        "diagonal": getattr(ranking, "diagonal", True),
        "pad_queries": elimination.pad_queries,
        "kind": "relative" if elimination.relative else "absolute",
        **({"merging": MERGING} if elimination.merges else {}),
        **({} if elimination.protected_until is None else {"protected_until": elimination.protected_until}),
        **values,
    }


def from_keys(keys: Mapping[str, Any], layers: int | None = None) -> Elimination:
    """An elimination from flat keys: seq_len, strategy, kind, and lengths, fractions or thresholds.

    Args:
        keys: see `to_keys`; what is left out has its usual value. Under strategy=threshold lengths say nothing.
        layers: of a model whose configuration is yet to be searched: where none is given everything is kept.

    Raises:
        RetentionError: a name that is none, or a combination that there is not.
    """
    strategy, kind, seq_len = keys.get("strategy", "attention"), keys.get("kind", "absolute"), keys["seq_len"]
    for name, value, known in (("strategy", strategy, STRATEGIES), ("kind", kind, KINDS)):
        if value not in known:
            raise RetentionError(f"{name}={value!r} is none of {', '.join(known)}")
    return Elimination(
        _retention(keys, strategy, kind, layers),
        seq_len,
        _ranking(keys, strategy),
        strategy == "merge",
        keys.get("protected", 1),
        tuple(keys.get("protected_tokens") or ()),
        keys.get("protected_until"),
    )


def _ranking(keys: Mapping[str, Any], strategy: str) -> ByAttention | ByPosition:
    if strategy == "head":
        return ByPosition(tuple(range(keys["seq_len"])))
    if strategy == "random":
        return ByPosition(tuple(keys.get("random_order") or ()))
    return ByAttention(keys.get("diagonal", True), keys.get("pad_queries", False))


def _retention(keys: Mapping[str, Any], strategy: str, kind: str, layers: int | None) -> Retention:
    lengths, fractions, thresholds = (keys.get(name) for name in ("lengths", "fractions", "thresholds"))
    if strategy == "none":
        return Lengths((keys["seq_len"],) * (layers or len(lengths or fractions or ())))
    if kind == "relative" and strategy == "threshold":
        raise RetentionError("strategy=threshold has no relative retention; thresholds are relative already")
    if kind == "relative" and lengths is not None:
        raise RetentionError("a relative retention has fractions, not lengths")
    if kind == "absolute" and fractions is not None:
        raise RetentionError("an absolute retention has lengths, not fractions")
    cls, values = (
        (Thresholds, thresholds)
        if strategy == "threshold"
        else (Fractions, fractions)
        if kind == "relative"
        else (Lengths, lengths)
    )
    if values is None and layers is not None:
        return cls(()).everything(keys["seq_len"], layers)
    if values is None and cls is Lengths:
        raise RetentionError(f"strategy={strategy} needs a retention configuration")
    return cls(tuple(values or ()))


def between(elimination: Elimination, progress: float) -> Elimination:
    """On the straight way from keeping everything (progress 0) to the configuration itself (1)."""
    return _mixed(elimination, [1 - progress] * len(elimination.retention.values))


def drawn_between(elimination: Elimination, generator: torch.Generator) -> Elimination:
    """A configuration drawn between keeping everything and the configuration itself.

    Each layer's place between the two is drawn uniformly below a bound that is drawn too, and
    falls from layer to layer, so that mild and strong configurations come up alike.
    """
    bound, *places = torch.rand(len(elimination.retention.values) + 1, generator=generator).tolist()
    return _mixed(elimination, sorted((bound * place for place in places), reverse=True))


def _mixed(elimination: Elimination, places: Sequence[float]) -> Elimination:
    return replace(elimination, retention=elimination.retention.between(places, elimination.seq_len))


def draw_random_order(seq_len: int, seed: int) -> tuple[int, ...]:
    """Rand-WS: the positions 0 … ℓ-1 in an order drawn once; a layer keeps the first ones."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randperm(seq_len, generator=generator).tolist())


class Sizes(NamedTuple):
    """How long inputs are.

    Attributes:
        begun: (B,) int64, word-vectors that each input began with.
        now: (B,) int64, those that it has left.
        bound: while shapes may not depend on values (a traced graph, or padding that counts): the length to which
            inputs were padded at the beginning; None where `begun` and `now` are on the CPU, to be looked at.
    """

    begun: Tensor
    now: Tensor
    bound: Any = None


class Kept(NamedTuple):
    """Which word-vectors of some inputs go on.

    Attributes:
        places: (B, K) int64, ascending among the N; what fills inputs of smaller counts comes last.
        real: (B, K) bool, False for what only fills up; None if nothing does.
        counts: (B,) int64, how many of each input's are real.
    """

    places: Tensor
    real: Tensor | None
    counts: Tensor


def choose(
    elimination: Elimination, j: int, scores: Tensor, mask: Tensor | None, shield: Tensor | None, sizes: Sizes
) -> Kept:
    """Which word-vectors layer j (0-based) keeps.

    Args:
        scores: (B, N) float.
        mask: (B, N) bool, True for real word-vectors; None if nothing is padded.
        shield: (B, N) bool, True for word-vectors that are protected beyond the leading
            positions; None for none.
        sizes: of these inputs.
    """
    protected = elimination.protected
    counts = elimination.retention.counts(j, sizes.begun, sizes.now)
    if counts is None:
        reached = normalise(scores, mask) >= elimination.retention.values[j]
        counts = passing_counts(reached, mask, protected, shield).to(sizes.now.device)
    if sizes.bound is not None:
        keep = elimination.retention.most(j, sizes.bound, scores.shape[1])
        even = mask is None
    else:
        keep = int(counts.numpy().max())
        even = keep == int(counts.numpy().min())
    if even:
        return Kept(select(scores, keep, mask, protected, shield), None, counts)
    each = counts.to(scores.device, non_blocking=True)
    return Kept(*select_counts(scores, each, keep, mask, protected, shield), counts)


def shield_of(input_ids: Tensor, tokens: Sequence[int]) -> Tensor | None:
    """Where the protected tokens stand: (B, N) bool, or None if there are none to look for."""
    if not tokens:
        return None
    return (input_ids.unsqueeze(-1) == torch.tensor(tokens, device=input_ids.device)).any(dim=-1)
