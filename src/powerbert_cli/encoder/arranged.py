"""The blocks of a host as engines of packed rows run them: which weights, norms and tables a layer has.

Legend: D hidden, A numbers of all heads together, F feed-forward neurons, ℓ longest input.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import PowerbertError
from .block import Block, PlainBlock, PreNormBlock
from .families import is_choice_model
from .linear import is_linear, joined
from .modern_block import ModernBlock
from .quantising import clips_of
from .shortened import ShortenedModel

Weights = tuple[Tensor, Tensor | None]  # (O, I) and (O,)
Norm = tuple[Tensor, Tensor | None, float]


class NotArranged(PowerbertError):
    """A model that is more than products, norms and attention in rows; says what."""


@dataclass(frozen=True)
class Arranged:
    """
    Attributes:
        heads, size: H and A/H.
        qkv: query, key and value in one; output, up, down: the other products.
        leads: whether norms lead: norm1 before attention (None for none), norm2 before the feed-forward part. Else they
            follow.
        activation: gelu, gelu_tanh, relu or silu; gated where `up` gives twice as many numbers as `down` takes.
        tables: what attention reads by position: bias (H, 2ℓ - 1), by the key's place less the query's; cos and sin
            (ℓ, A/H).
        span: of the bias, ℓ - 1. window: how far apart query and key may be; 0 for any.
    """

    heads: int
    size: int
    qkv: Weights
    output: Weights
    up: Weights
    down: Weights
    leads: bool
    norm1: Norm | None
    norm2: Norm
    activation: str
    neurons: int
    tables: dict[str, Tensor]
    span: int
    window: int

    @property
    def placed(self) -> bool:
        """Whether attention depends on places in the input."""
        return bool(self.tables or self.window)


def check_arrangeable(model: Any) -> None:
    """
    Raises:
        NotArranged: for what the model does with its word-vectors, or with the inputs of its layers.
    """
    if not isinstance(model, ShortenedModel):
        raise NotArranged("it runs shortened models of this encoder")
    if model.elimination.merges:
        raise NotArranged("strategy=merge makes new word-vectors of those that are dropped")
    if model.elimination.pad_queries:
        raise NotArranged("padding counts in significance")
    if model.reads == "mean" and is_choice_model(model.host):
        raise NotArranged("its head averages over all places of a batch")
    if clips_of(model.host) is not None:
        raise NotArranged("inputs of its layers are quantised (compress.act_bits)")


def arranged_layers(model: ShortenedModel) -> list[Arranged]:
    """Of all layers; those that share their weights (ALBERT's) are one object.

    Raises:
        NotArranged
    """
    known: dict[int, Arranged] = {}
    return [
        known.get(key) or known.setdefault(key, arranged(block, model.seq_len))
        for block in model.views()
        for key in [id(getattr(block, "up", block))]
    ]


def arranged(block: Block, seq_len: int) -> Arranged:
    """
    Raises:
        NotArranged
    """
    if isinstance(block, PlainBlock):
        return _plain(block, seq_len)
    if isinstance(block, ModernBlock):
        return _modern(block, seq_len)
    raise NotArranged(f"a block of {type(block).__name__} is none that it knows")


def _plain(block: PlainBlock, seq_len: int) -> Arranged:
    _check_linear(block.query, block.key, block.value, block.output, block.up, block.down)
    if not block.heads:
        raise NotArranged("a layer has no heads")
    tables, span = {}, 0
    if block.relative_bias is not None:
        span = seq_len - 1
        with torch.no_grad():
            places = torch.arange(seq_len, device=block.query.weight.device).unsqueeze(0)
            table = block.relative_bias(places)[0].float()  # (H, ℓ, ℓ)
        tables["bias"] = torch.cat((table[:, 1:, 0].flip(1), table[:, 0]), dim=1).contiguous()
    output, up, down = map(_weights, (block.output, block.up, block.down))
    return Arranged(
        heads=block.heads, size=block.head_size, qkv=joined(block.query, block.key, block.value), output=output, up=up,
        down=down, leads=isinstance(block, PreNormBlock), norm1=_norm(block.norm1), norm2=_norm(block.norm2),
        activation=_activation(block.activation), neurons=block.neurons, tables=tables, span=span, window=0,
    )  # fmt: skip


def _modern(block: ModernBlock, seq_len: int) -> Arranged:
    mlp: Any = block.mlp
    if block.window == 0:
        raise NotArranged("word-vectors of a layer attend to themselves alone")
    _check_linear(block.attention.Wqkv, block.attention.Wo, mlp.Wi, mlp.Wo)
    positions = torch.arange(seq_len, device=mlp.Wi.weight.device).unsqueeze(0)
    with torch.no_grad():
        # float32, also of a model in half precision, whose host would round them
        cos, sin = (turn[0].contiguous() for turn in block.rotary(mlp.Wi.weight.new_empty(0).float(), positions))
    qkv, output, up, down = map(_weights, (block.attention.Wqkv, block.attention.Wo, mlp.Wi, mlp.Wo))
    norm1 = None if isinstance(block.norm1, nn.Identity) else _norm(block.norm1)
    return Arranged(
        heads=block.heads, size=block.head_size, qkv=qkv, output=output, up=up, down=down, leads=True, norm1=norm1,
        norm2=_norm(block.norm2), activation=_activation(mlp.act), neurons=block.neurons,
        tables={"cos": cos, "sin": sin}, span=0, window=block.window or 0,
    )  # fmt: skip


def _weights(layer: Any) -> Weights:
    return layer.weight.detach(), None if layer.bias is None else layer.bias.detach()


def _check_linear(*layers: Any) -> None:
    for layer in layers:
        if not is_linear(layer):
            raise NotArranged(f"a layer is a {type(layer).__name__}, not a plain linear one")


def _norm(norm: Any) -> Norm:
    if type(norm) is not nn.LayerNorm:
        raise NotArranged(f"a norm is a {type(norm).__name__}")
    shift = None if norm.bias is None else norm.bias.detach()
    return norm.weight.detach(), shift, norm.eps


_NAMES = {
    "GELUActivation": "gelu",
    "NewGELUActivation": "gelu_tanh",
    "PytorchGELUTanh": "gelu_tanh",
    "GELUTanh": "gelu_tanh",
    "FastGELUActivation": "gelu_tanh",
    "ReLU": "relu",
    "SiLUActivation": "silu",
    "SiLU": "silu",
}


def _activation(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    found = _NAMES.get(name) or ("gelu" if name == "gelu" else None)
    if found is None:
        raise NotArranged(f"its activation {name} is none of gelu, gelu_new, relu and silu")
    return found
