"""The parts of one encoder block that the shortened encoder calls, whatever the model family.

Legend: T rows, Q those with queries, B inputs, N word-vectors, H heads, D hidden, F neurons, A numbers of all heads
together (D where none was removed).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear import Joined, as_batch, is_linear, joined

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Block(ABC):
    """A view of one block of a host model; holds no parameters of its own.

    Elimination takes place between `join` and `feed_forward`.

    Attributes:
        heads: H; 0 where all were removed, and attention gives nothing but the output's bias.
        head_size: D/H of the whole model.
        attention_dropout: probability, in training.
    """

    heads: int
    head_size: int
    attention_dropout: float

    @abstractmethod
    def project(self, x: Tensor, positions: Tensor | None) -> Tensor:
        """Query, key and value.

        Args:
            x: (T, D).
            positions: (T,), places in the input; None where nothing asks for them.

        Returns:
            (T, 3, H, A/H), A/H the size of a head.
        """

    def project_apart(self, x: Tensor, positions: Tensor | None) -> tuple[Tensor, ...]:
        """`project` as three tensors (T, H, A/H), for graphs in which no copy should put them into one."""
        return self.project(x, positions).unbind(1)

    @abstractmethod
    def project_for(self, x: Tensor, positions: Tensor | None, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The queries (Q, 1, H, A/H) of the rows at `queries` (Q,) only, and keys and values (T, 2, H, A/H) of all."""

    @abstractmethod
    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        """Output projection, residual and norm: A·V (Q, A) and block input (Q, D) → (Q, D)."""

    @abstractmethod
    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        """Feed-forward part with residual and norm: (Q, D) → (Q, D)."""

    @abstractmethod
    def host_parts(self) -> dict[str, tuple[Any, ...]]:
        """The host's modules behind project, output and feed-forward, in the order in which the host calls them."""

    def sources(self) -> tuple[Tensor, ...]:
        """The weights that decide what it answers, of which `for_inference` may hold copies."""
        return ()

    def for_inference(self) -> "Block":
        """The same block, with weights joined to answer faster; true as long as its sources do not change."""
        return self

    @property
    @abstractmethod
    def neurons(self) -> int:
        """Of the feed-forward part."""

    @property
    def positional(self) -> bool:
        """Whether attention depends on positions in the input (beyond their embeddings)."""
        return False

    @property
    def biased(self) -> bool:
        """Whether there is a bias."""
        return False

    def bias(self, positions: Tensor) -> Tensor | None:
        """What is added to the scaled scores: positions of inputs (B, N) → (B, H or 1, N, N), or None.

        Finite: a forbidden pair has the lowest number, so that a row of them has no NaN.
        """
        return None


@dataclass(frozen=True)
class PlainBlock(Block):
    """A block whose query, key and value have a matrix each, and its feed-forward part two.

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
    joined: Joined | None = None
    joined_kv: Joined | None = None

    def led(self, x: Tensor) -> Tensor:
        """What attention is given of the block's input: (T, D) or (B, N, D) → the same."""
        return x

    def sources(self) -> tuple[Tensor, ...]:
        layers: list[Any] = [self.query, self.key, self.value, self.output, self.up, self.down]
        if not all(map(is_linear, layers)):
            return ()
        return tuple(tensor for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None)

    def for_inference(self) -> "Block":
        if not self.sources() or not self.heads:
            return self
        weight, bias = joined(self.query, self.key, self.value)
        size = len(self.query.weight)
        return replace(
            self,
            joined=Joined(weight, bias),
            joined_kv=Joined(weight[size:], None if bias is None else bias[size:]),
        )

    def project(self, x: Tensor, positions: Tensor | None) -> Tensor:
        x = self.led(x)
        if self.joined is not None:
            return heads_of(self.joined(x), 3, self.head_size)
        return heads_of(torch.cat((self.query(x), self.key(x), self.value(x)), dim=-1), 3, self.head_size)

    def project_apart(self, x: Tensor, positions: Tensor | None) -> tuple[Tensor, ...]:
        x, layers = self.led(x), (self.query, self.key, self.value)
        return tuple(as_batch(layer, x).unflatten(-1, (-1, self.head_size)) for layer in layers)

    def project_for(self, x: Tensor, positions: Tensor | None, queries: Tensor) -> tuple[Tensor, Tensor]:
        x = self.led(x)
        kv = torch.cat((self.key(x), self.value(x)), dim=-1) if self.joined_kv is None else self.joined_kv(x)
        return heads_of(self.query(x.index_select(0, queries)), 1, self.head_size), heads_of(kv, 2, self.head_size)

    def first_context(self, kv: Joined, x: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        """A·V for the first word-vector of each input, without keys and values of the others.

        Its score of a word-vector x is (W_kᵀq)·x, and Σ a·W_v x is W_v Σ a·x; the keys' bias adds the same to all
        scores of a query, which softmax does not see.

        Args:
            kv: `joined_kv`.
            x: (B, N, D).
            mask: (B, N) bool; None if nothing is padded.
            bias: (B or 1, H or 1, 1, N) added to the scaled scores; None for nothing.

        Returns:
            (B, A).
        """
        x = self.led(x)
        w_k, w_v = kv.weight.unflatten(0, (2, self.heads, -1)).unbind()  # (H, A/H, D)
        q = self.query(x[:, 0]).unflatten(-1, (self.heads, -1)).transpose(0, 1)  # (H, B, A/H)
        scores = torch.matmul(torch.bmm(q, w_k).transpose(0, 1), x.mT) * w_k.shape[1] ** -0.5  # (B, H, N)
        if bias is not None:
            scores = scores + bias.squeeze(2)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), torch.finfo(scores.dtype).min)
        mean = torch.matmul(scores.softmax(dim=-1), x).transpose(0, 1)  # (H, B, D)
        context = torch.bmm(mean, w_v.mT).transpose(0, 1).flatten(1)
        return context if kv.bias is None else context + kv.bias[len(context[0]) :]

    def attended(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        """Output projection and residual: (Q, A) and (Q, D) → (Q, D)."""
        # without heads the product is over nothing, which some engines do not take
        out = self.output(context) if self.heads else self.output.bias.expand_as(residual)  # type: ignore[attr-defined]
        return residual + F.dropout(out, self.output_dropout, training)

    def active(self, x: Tensor) -> Tensor:
        """The activations of the neurons for what the feed-forward half is given: (Q, D) → (Q, F)."""
        return self.activation(self.up(x))

    def fed(self, x: Tensor, training: bool) -> Tensor:
        """The feed-forward part without residual and norm: (Q, D) → (Q, D)."""
        return F.dropout(self.down(self.active(x)), self.hidden_dropout, training)

    @property
    def neurons(self) -> int:
        return int(self.up.out_features)  # type: ignore[attr-defined]

    @property
    def positional(self) -> bool:
        return self.relative_bias is not None

    biased = positional

    def bias(self, positions: Tensor) -> Tensor | None:
        return None if self.relative_bias is None else self.relative_bias(positions)


@dataclass(frozen=True)
class PostNormBlock(PlainBlock):
    """The block of BERT and its relatives: each norm follows the residual."""

    def host_parts(self) -> dict[str, tuple[Any, ...]]:
        return {
            "project": (self.query, self.key, self.value),
            "output": (self.output, self.norm1),
            "feed-forward": (self.up, self.down, self.norm2),
        }

    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        return as_batch(lambda a, x: self.norm1(self.attended(a, x, training)), context, residual)

    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        return as_batch(lambda x: self.norm2(x + self.fed(x, training)), x)


@dataclass(frozen=True)
class PreNormBlock(PlainBlock):
    """The block of ViT and of other models whose norms lead: what goes on is never normed."""

    def led(self, x: Tensor) -> Tensor:
        return self.norm1(x)

    def active(self, x: Tensor) -> Tensor:
        return self.activation(self.up(self.norm2(x)))

    def host_parts(self) -> dict[str, tuple[Any, ...]]:
        return {
            "project": (self.norm1, self.query, self.key, self.value),
            "output": (self.output,),
            "feed-forward": (self.norm2, self.up, self.down),
        }

    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        return as_batch(lambda a, x: self.attended(a, x, training), context, residual)

    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        return as_batch(lambda x: x + self.fed(x, training), x)


def kept_heads(query: Any) -> tuple[int, ...] | None:
    """Which of its heads a block still has, 0-based, as its query layer notes; None for all."""
    found: tuple[int, ...] | None = getattr(query, "kept_heads", None)
    return found


def heads_of(x: Tensor, parts: int, size: int) -> Tensor:
    """(T, P·A) → (T, P, H, A/H), a view; A/H is the size of a head."""
    return x.unflatten(-1, (parts, x.shape[-1] // parts // size, size))
