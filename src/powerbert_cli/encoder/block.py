"""The parts of one encoder block that the shortened encoder calls, whatever the model family."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..method.selection import gather_vectors
from .linear import ArrangedLinear, arranged, is_linear, joined

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
    def project(self, x: Tensor, positions: Tensor | None, index: Tensor | None = None) -> Projections:
        """Query, key and value.

        Args:
            x: (B, N, D).
            positions: (B, N), places in the input.
            index: (B, K), for which word-vectors there shall be queries; None for all.

        Returns:
            (B, H, K or N, D/H), and twice (B, H, N, D/H).
        """

    @abstractmethod
    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        """Output projection, residual and norm: A·V (B, K, D) and block input (B, K, D) → (B, K, D)."""

    @abstractmethod
    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        """Feed-forward part with residual and norm: (B, K, D) → (B, K, D)."""

    @abstractmethod
    def host_parts(self) -> dict[str, tuple[Any, ...]]:
        """The host's modules behind project, output and feed-forward, in the order in which the host calls them."""

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
        joined: query, key and value of all word-vectors in one product; in inference only.
        joined_kv: key and value in one.
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
    joined: ArrangedLinear | None = None
    joined_kv: ArrangedLinear | None = None

    def host_parts(self) -> dict[str, tuple[Any, ...]]:
        return {
            "project": (self.query, self.key, self.value),
            "output": (self.output, self.norm1),
            "feed-forward": (self.up, self.down, self.norm2),
        }

    def sources(self) -> tuple[Tensor, ...]:
        layers: list[Any] = [self.query, self.key, self.value, self.output, self.up, self.down]
        if not all(map(is_linear, layers)):
            return ()
        return tuple(part for layer in layers for part in (layer.weight, layer.bias))

    def for_inference(self) -> "Block":
        if not self.sources():
            return self
        weight, bias = joined(self.query, self.key, self.value)
        size = len(self.query.weight)
        return replace(
            self,
            joined=ArrangedLinear(weight, bias),
            joined_kv=ArrangedLinear(weight[size:], None if bias is None else bias[size:]),
            query=arranged(self.query),
            output=arranged(self.output),
            up=arranged(self.up),
            down=arranged(self.down),
        )

    def project(self, x: Tensor, positions: Tensor | None, index: Tensor | None = None) -> Projections:
        if index is None and self.joined is not None:
            return _heads_of(self.joined(x), 3, self.heads)
        rows = x if index is None else gather_vectors(x, index)
        q = split_heads(self.query(rows), self.heads)
        if self.joined_kv is not None:
            return q, *_heads_of(self.joined_kv(x), 2, self.heads)
        return q, split_heads(self.key(x), self.heads), split_heads(self.value(x), self.heads)

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

    def host_parts(self) -> dict[str, tuple[Any, ...]]:
        return {
            "project": (self.attention.Wqkv,),
            "output": (self.attention.Wo,),
            "feed-forward": (self.norm2, self.mlp),
        }

    def project(self, x: Tensor, positions: Tensor | None, index: Tensor | None = None) -> Projections:
        assert positions is not None
        normed, turns = self.norm1(x), self.rotary(x, positions)
        if index is None:
            q, k, v = _heads_of(self.attention.Wqkv(normed), 3, self.heads)
            return _rotate(q, *turns), _rotate(k, *turns), v
        weight, bias, size = self.attention.Wqkv.weight, self.attention.Wqkv.bias, x.shape[-1]
        of_q, of_kv = (None, None) if bias is None else (bias[:size], bias[size:])
        q = split_heads(F.linear(gather_vectors(normed, index), weight[:size], of_q), self.heads)
        k, v = _heads_of(F.linear(normed, weight[size:], of_kv), 2, self.heads)
        return _rotate(q, *self.rotary(x, positions.gather(1, index))), _rotate(k, *turns), v

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


def _heads_of(x: Tensor, parts: int, heads: int) -> Any:
    """(B, N, P·D) → P times (B, H, N, D/H), as views."""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in float32, as the host computes it; cos and sin are (B, N, D/H)."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (x.float() * cos + turned * sin).to(x.dtype)
