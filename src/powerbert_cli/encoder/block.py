"""The parts of one encoder block that the shortened encoder calls, whatever the model family."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Layer = Callable[[Tensor], Tensor]
Projections = tuple[Tensor, Tensor, Tensor]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, D) → (B, H, N, D/H)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


@dataclass(frozen=True)
class Block(ABC):
    """A view of one block of a host model; holds no parameters of its own.

    Elimination takes place between `join` and `feed_forward`.

    Attributes:
        heads: H.
        attention_dropout: probability, in training.
    """

    heads: int
    attention_dropout: float

    @abstractmethod
    def project(self, x: Tensor, positions: Tensor | None) -> Projections:
        """(B, N, D) and the positions (B, N) in the input → query, key, value, each (B, H, N, D/H)."""

    @abstractmethod
    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        """Output projection, residual and norm: A·V (B, K, D) and block input (B, K, D) → (B, K, D)."""

    @abstractmethod
    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        """Feed-forward part with residual and norm: (B, K, D) → (B, K, D)."""

    def sources(self) -> tuple[Tensor, ...]:
        """The weights of which `for_inference` holds copies."""
        return ()

    def for_inference(self) -> "Block":
        """The same block, arranged to answer faster; true as long as its sources do not change."""
        return self

    @property
    def positional(self) -> bool:
        """Whether attention depends on positions in the input (beyond their embeddings)."""
        return False

    def bias(self, positions: Tensor) -> Tensor | None:
        """What is added to the scaled scores: positions (B, N) → (B, H or 1, N, N), or None.

        Finite: a forbidden pair has the lowest number, so that a row of them has no NaN.
        """
        return None


@dataclass(frozen=True)
class PostNormBlock(Block):
    """The block of BERT and its relatives: each norm follows the residual.

    Attributes:
        joined: weight (3·D, D) and bias (3·D,) of query, key and value in one: with few rows one
            product is faster than three.
    """

    query: Any
    key: Any
    value: Any
    output: Layer
    norm1: Layer
    up: Layer
    activation: Layer
    down: Layer
    norm2: Layer
    output_dropout: float
    hidden_dropout: float
    relative_bias: Callable[[Tensor], Tensor] | None = None
    joined: tuple[Tensor, Tensor] | None = None

    def sources(self) -> tuple[Tensor, ...]:
        return tuple(part for layer in (self.query, self.key, self.value) for part in (layer.weight, layer.bias))

    def for_inference(self) -> "Block":
        weights = self.sources()
        return replace(self, joined=(torch.cat(weights[0::2]), torch.cat(weights[1::2])))

    def project(self, x: Tensor, positions: Tensor | None) -> Projections:
        if self.joined is not None:
            q, k, v = F.linear(x, *self.joined).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
            return q, k, v
        q, k, v = (split_heads(layer(x), self.heads) for layer in (self.query, self.key, self.value))
        return q, k, v

    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        return self.norm1(residual + F.dropout(self.output(context), self.output_dropout, training))

    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        down = self.down(self.activation(self.up(x)))
        return self.norm2(x + F.dropout(down, self.hidden_dropout, training))

    @property
    def positional(self) -> bool:
        return self.relative_bias is not None

    def bias(self, positions: Tensor) -> Tensor | None:
        return None if self.relative_bias is None else self.relative_bias(positions)


@dataclass(frozen=True)
class ModernBlock(Block):
    """The block of ModernBERT: norms lead, rotary positions, a local window in some layers.

    Word-vectors keep their positions in the input when others go: rotation and window are by
    those, not by the place among the survivors.
    """

    norm1: Layer
    attention: Any
    norm2: Layer
    mlp: Layer
    rotary: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    window: int | None

    def project(self, x: Tensor, positions: Tensor | None) -> Projections:
        qkv = self.attention.Wqkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(dim=-3))
        cos, sin = (part.unsqueeze(1) for part in self.rotary(x, positions))  # type: ignore[arg-type]
        return _rotate(q, cos, sin), _rotate(k, cos, sin), v

    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        return residual + self.attention.out_drop(self.attention.Wo(context))

    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        return x + self.mlp(self.norm2(x))

    @property
    def positional(self) -> bool:
        return True

    def bias(self, positions: Tensor) -> Tensor | None:
        if self.window is None:
            return None
        far = (positions[:, :, None] - positions[:, None, :]).abs() > self.window
        weight = self.attention.Wo.weight
        return weight.new_zeros(()).expand(far.shape).masked_fill(far, 0.5 * torch.finfo(weight.dtype).min).unsqueeze(1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in float32, as the host computes it."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x.float() * cos + turned * sin).to(x.dtype)
