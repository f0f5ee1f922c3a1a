"""The blocks of a host as the native engine runs them: weights arranged, tables made, once.

Legend: T rows, D hidden, A numbers of all heads together, F feed-forward neurons, ℓ longest input.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoder.block import Block, PostNormBlock
from ..encoder.linear import is_linear, joined
from ..encoder.modern_block import ModernBlock
from ..errors import PowerbertError
from .kernels import attend_first
from .products import FloatProduct, Product, RowProduct

Norm = tuple[Tensor, Tensor | None, float]


class NotNative(PowerbertError):
    """A model that the native engine does not run; says why."""


@dataclass(frozen=True)
class Layer:
    """
    Attributes:
        heads, size: H and A/H.
        exact: query, key and value in float32, whatever qkv takes.
        leads: whether norms lead: norm1 before attention (None for none), norm2 before the feed-forward part. Else they
            follow.
        activation: see `kernels.ACTIVATIONS`; gated where `up` gives twice as many numbers as `down` takes.
        tables: bias, cos and sin of `kernels.attend`, where there are any; span: of the bias. window: 0 for none.
    """

    heads: int
    size: int
    qkv: Product
    exact: FloatProduct
    output: Product
    up: Product
    down: Product | RowProduct
    leads: bool
    norm1: Norm | None
    norm2: Norm
    activation: str
    neurons: int
    tables: dict[str, Tensor]
    span: int
    window: int

    def first_context(self, x: Tensor, starts: Tensor, positions: Tensor | None) -> Tensor:
        """A·V for the first word-vector of each input (B, A), without keys and values of the others.

        As in `PostNormBlock.first_context`. Not of blocks that turn keys by position.

        Args:
            x: (T, D) float32, packed; starts: (B + 1,) int32.
        """
        w_q, w_k, w_v = self.exact.weight.unflatten(0, (3, self.heads, self.size)).unbind()  # (H, A/H, D)
        first = x.index_select(0, starts[:-1])
        bias = self.exact.bias
        b_q, _, b_v = (None, None, None) if bias is None else bias.unflatten(0, (3, -1)).unbind()
        query = F.linear(first, w_q.flatten(0, 1), b_q).unflatten(1, (self.heads, self.size)).transpose(0, 1)
        asked = (torch.bmm(query, w_k).transpose(0, 1) * self.size**-0.5).contiguous()
        means = attend_first(x, starts, asked, positions, self.tables.get("bias"), self.span)
        context = torch.bmm(means.transpose(0, 1), w_v.mT).transpose(0, 1).flatten(1)
        return context if b_v is None else context + b_v


def layer_of(block: Block, seq_len: int) -> Layer:
    """
    Raises:
        NotNative
    """
    if isinstance(block, PostNormBlock):
        return _post_norm(block, seq_len)
    if isinstance(block, ModernBlock):
        return _modern(block, seq_len)
    raise NotNative(f"a block of {type(block).__name__} is none that it knows")


def _post_norm(block: PostNormBlock, seq_len: int) -> Layer:
    _check_linear(block.query, block.key, block.value, block.output, block.up, block.down)
    if not block.heads:
        raise NotNative("a layer has no heads")
    tables, span = {}, 0
    if block.relative_bias is not None:
        span = seq_len - 1
        with torch.no_grad():
            table = block.relative_bias(torch.arange(seq_len).unsqueeze(0))[0].float()  # (H, ℓ, ℓ)
        tables["bias"] = torch.cat((table[:, 1:, 0].flip(1), table[:, 0]), dim=1).contiguous()
    qkv = FloatProduct(*joined(block.query, block.key, block.value))
    output, up, down = map(_product, (block.output, block.up, block.down))
    return Layer(
        heads=block.heads, size=block.head_size, qkv=qkv, exact=qkv, output=output, up=up, down=down, leads=False,
        norm1=_norm(block.norm1), norm2=_norm(block.norm2), activation=_activation(block.activation),
        neurons=block.neurons, tables=tables, span=span, window=0,
    )  # fmt: skip


def _modern(block: ModernBlock, seq_len: int) -> Layer:
    mlp: Any = block.mlp
    _check_linear(block.attention.Wqkv, block.attention.Wo, mlp.Wi, mlp.Wo)
    positions = torch.arange(seq_len).unsqueeze(0)
    with torch.no_grad():
        cos, sin = (turn[0].float().contiguous() for turn in block.rotary(block.attention.Wqkv.weight, positions))
    qkv, output, up, down = map(_product, (block.attention.Wqkv, block.attention.Wo, mlp.Wi, mlp.Wo))
    norm1 = None if isinstance(block.norm1, nn.Identity) else _norm(block.norm1)
    return Layer(
        heads=block.heads, size=block.head_size, qkv=qkv, exact=qkv, output=output, up=up, down=down, leads=True,
        norm1=norm1, norm2=_norm(block.norm2), activation=_activation(mlp.act), neurons=block.neurons,
        tables={"cos": cos, "sin": sin}, span=0, window=block.window or 0,
    )  # fmt: skip


def _product(layer: Any) -> FloatProduct:
    return FloatProduct(layer.weight, layer.bias)


def _check_linear(*layers: Any) -> None:
    for layer in layers:
        if not is_linear(layer):
            raise NotNative(f"a layer is a {type(layer).__name__}, not a plain linear one")
        if layer.weight.dtype != torch.float32 or layer.weight.device.type != "cpu":
            raise NotNative("it takes models in float32 on the CPU")


def _norm(norm: Any) -> Norm:
    if type(norm) is not nn.LayerNorm:
        raise NotNative(f"a norm is a {type(norm).__name__}")
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
        raise NotNative(f"its activation {name} is none of gelu, gelu_new, relu and silu")
    return found
