"""The retention configuration: how many word-vectors each encoder layer keeps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_PARTS = 10_000  # fractions have four decimals, so that ceil(f · n) is the same on every device


class RetentionError(ValueError):
    """A retention configuration that breaks a rule."""


def _check_count(name: str, given: Sequence[object], layers: int | None) -> None:
    if layers is not None and len(given) != layers:
        raise RetentionError(
            f"retention has {len(given)} {name}, the model has {layers} layers; give one for each layer"
        )


def check_lengths(lengths: Sequence[object], seq_len: int, layers: int | None = None) -> tuple[int, ...]:
    """Checks (ℓ_1 … ℓ_L) and gives it back as a tuple of ints.

    Args:
        lengths: word-vectors kept after each layer.
        seq_len: ℓ, the input length that bounds the first value.
        layers: L of the model, if known.

    Raises:
        RetentionError: names the entry (0-based), its value and the rule that it breaks.
    """
    _check_count("lengths", lengths, layers)
    if not lengths:
        raise RetentionError("retention has no lengths; give one length for each layer")
    checked: list[int] = []
    for j, value in enumerate(lengths):
        if isinstance(value, bool) or not isinstance(value, int):
            raise RetentionError(f"retention[{j}]={value!r} is not an integer; lengths count word-vectors")
        if value < 1:
            raise RetentionError(f"retention[{j}]={value} is below 1; a layer keeps at least [CLS]")
        if j == 0 and value > seq_len:
            raise RetentionError(f"retention[0]={value} exceeds seq_len={seq_len}; a layer cannot keep more than ℓ")
        if j and value > checked[-1]:
            raise RetentionError(
                f"retention[{j}]={value} exceeds retention[{j - 1}]={checked[-1]}; must be non-increasing"
            )
        checked.append(value)
    return tuple(checked)


def check_fractions(fractions: Sequence[object] | None, layers: int | None = None) -> tuple[float, ...]:
    """Checks (f_1 … f_L), shares of an input's own word-vectors, and gives them back with four decimals.

    Raises:
        RetentionError: names the entry (0-based), its value and the rule that it breaks.
    """
    if not fractions:
        raise RetentionError("a relative retention needs one fraction for each layer, e.g. [0.8,0.5,0.2]")
    _check_count("fractions", fractions, layers)
    checked: list[float] = []
    for j, value in enumerate(fractions):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise RetentionError(f"fractions[{j}]={value!r} must be a number above 0 and at most 1")
        rounded = max(1, round(value * _PARTS)) / _PARTS
        if j and rounded > checked[-1]:
            raise RetentionError(
                f"fractions[{j}]={value} exceeds fractions[{j - 1}]={checked[-1]}; must be non-increasing"
            )
        checked.append(rounded)
    return tuple(checked)


def quota(fraction: float, n: Any) -> Any:
    """ceil(f · n) in integers: what a layer keeps of an input of n word-vectors.

    Args:
        fraction: with at most four decimals, see `check_fractions`.
        n: an int (also a symbolic one), or an integer tensor.
    """
    return (n * round(fraction * _PARTS) + _PARTS - 1) // _PARTS


def check_thresholds(thresholds: Sequence[object] | None, layers: int | None = None) -> tuple[float, ...]:
    """Checks (θ_1 … θ_L), the thresholds on normalised significance, and gives them back as floats.

    Raises:
        RetentionError: names the entry (0-based), its value and the rule that it breaks.
    """
    if not thresholds:
        raise RetentionError("strategy=threshold needs one threshold for each layer, e.g. [0.5,0.6,0.8]")
    _check_count("thresholds", thresholds, layers)
    checked: list[float] = []
    for j, value in enumerate(thresholds):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise RetentionError(f"thresholds[{j}]={value!r} must be a number ≥ 0; average significance is 1")
        checked.append(float(value))
    return tuple(checked)


def lengths_from_masses(masses: Sequence[float], seq_len: int, rounding: str = "ceil") -> tuple[int, ...]:
    """ℓ_j = ceil(mass_j), then ℓ_j = min(ℓ_j, ℓ_(j-1)) (section 3.3, step 2).

    A mass within 1e-4 of an integer counts as that integer: float32 sums of clipped
    parameters end a little beside it.

    Args:
        rounding: ceil, as in the paper, or floor (at least 1), as in the authors' code.
    """
    lengths: list[int] = []
    previous = seq_len
    for mass in masses:
        rounded = math.ceil(mass - 1e-4) if rounding == "ceil" else math.floor(mass + 1e-4)
        previous = min(max(1, rounded), previous)
        lengths.append(previous)
    return tuple(lengths)


def fractions_from_masses(masses: Sequence[float], seq_len: int) -> tuple[float, ...]:
    """f_j = mass_j / ℓ, rounded up to four decimals, then f_j = min(f_j, f_(j-1))."""
    fractions: list[float] = []
    previous = 1.0
    for mass in masses:
        parts = math.ceil(mass / seq_len * _PARTS - 1e-3)
        previous = min(max(1, parts) / _PARTS, previous)
        fractions.append(previous)
    return tuple(fractions)


@dataclass(frozen=True)
class Retention(ABC):
    """How many word-vectors each layer keeps, of inputs of given sizes. Layers are 0-based here.

    Attributes:
        values: one for each layer.
    """

    values: tuple[Any, ...]

    @abstractmethod
    def checked(self, seq_len: int, layers: int) -> "Retention":
        """Itself, if it fits a model of that many layers and inputs of up to ℓ word-vectors.

        Raises:
            RetentionError: names the entry and the rule that it breaks.
        """

    @staticmethod
    @abstractmethod
    def whole(seq_len: int) -> Any:
        """The value of a layer that keeps everything."""

    @abstractmethod
    def counts(self, j: int, begun: Tensor, now: Tensor) -> Tensor | None:
        """How many layer j keeps of each input; None if scores say, which are to reach `values[j]`.

        Args:
            begun: (B,) int64, word-vectors that each input began with.
            now: (B,) int64, those that reach this layer.

        Returns:
            (B,) int64, from 1 to `now`.
        """

    def counts_of_layers(self, begun: Tensor) -> Tensor:
        """How many each layer keeps, (B,) int64 → (L, B) int64; `counts` of all layers at once.

        Raises:
            RetentionError: scores say.
        """
        raise RetentionError("strategy=threshold: only scores say how many are kept")

    @abstractmethod
    def most(self, j: int, longest: Any, now: Any) -> Any:
        """The largest of `counts` for inputs that began with up to `longest` word-vectors and now have up to `now`.

        Ints, or symbols for them while a graph is traced.
        """

    @abstractmethod
    def keeps_all(self, j: int, n: int) -> bool:
        """Whether layer j surely keeps all of n word-vectors."""

    def drops(self, j: int, seq_len: int) -> bool:
        """Whether layer j may drop of what the layer before it kept."""
        return bool(self.values[j] < (self.values[j - 1] if j else self.whole(seq_len)))

    def everything(self, seq_len: int, layers: int) -> "Retention":
        """The same kind, keeping all word-vectors."""
        return type(self)((self.whole(seq_len),) * layers)

    def between(self, places: Sequence[float], seq_len: int) -> "Retention":
        """Of each layer its own value (place 0), keeping everything (1), or in between; places do not rise."""
        whole = self.whole(seq_len)
        mixed = tuple(own + (whole - own) * place for own, place in zip(self.values, places, strict=True))
        values = tuple(map(round, mixed)) if isinstance(whole, int) else mixed
        return type(self)(values).checked(seq_len, len(values))

    def share(self, seq_len: int) -> float | None:
        """Word-vectors kept over those of a plain model, over all layers, in (0, 1]; None if values do not say."""
        return sum(self.values) / (len(self.values) * self.whole(seq_len))


class Lengths(Retention):
    """Absolute: (ℓ_1 … ℓ_L), layer j keeps min(ℓ_j, n)."""

    def checked(self, seq_len: int, layers: int) -> "Lengths":
        return Lengths(check_lengths(self.values, seq_len, layers))

    @staticmethod
    def whole(seq_len: int) -> Any:
        return seq_len

    def counts(self, j: int, begun: Tensor, now: Tensor) -> Tensor:
        return now.clamp(max=self.values[j])

    def counts_of_layers(self, begun: Tensor) -> Tensor:
        return torch.minimum(torch.tensor(self.values).unsqueeze(1), begun)

    def most(self, j: int, longest: Any, now: Any) -> Any:
        return torch.sym_min(self.values[j], now)

    def keeps_all(self, j: int, n: int) -> bool:
        return self.values[j] >= n


class Fractions(Retention):
    """Relative: (f_1 … f_L), layer j keeps ceil(f_j · n) of an input that began with n word-vectors."""

    def checked(self, seq_len: int, layers: int) -> "Fractions":
        return Fractions(check_fractions(self.values, layers))

    @staticmethod
    def whole(seq_len: int) -> Any:
        return 1.0

    def counts(self, j: int, begun: Tensor, now: Tensor) -> Tensor:
        return quota(self.values[j], begun)

    def counts_of_layers(self, begun: Tensor) -> Tensor:
        parts = torch.tensor([round(value * _PARTS) for value in self.values])
        return (begun * parts.unsqueeze(1) + _PARTS - 1) // _PARTS

    def most(self, j: int, longest: Any, now: Any) -> Any:
        return quota(self.values[j], longest)

    def keeps_all(self, j: int, n: int) -> bool:
        return self.values[j] >= 1


class Thresholds(Retention):
    """(θ_1 … θ_L): layer j keeps those whose significance, over the mean of its input's, reaches θ_j."""

    def checked(self, seq_len: int, layers: int) -> "Thresholds":
        return Thresholds(check_thresholds(self.values, layers))

    @staticmethod
    def whole(seq_len: int) -> Any:
        return 0.0

    def counts(self, j: int, begun: Tensor, now: Tensor) -> None:
        return None

    def most(self, j: int, longest: Any, now: Any) -> Any:
        raise RetentionError("strategy=threshold: how many are kept depends on the input, so it is no one graph")

    def drops(self, j: int, seq_len: int) -> bool:
        return bool(self.values[j] > 0)

    def share(self, seq_len: int) -> None:
        return None

    def keeps_all(self, j: int, n: int) -> bool:
        return self.values[j] <= 0
