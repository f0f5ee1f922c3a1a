"""The layers of a host as the native engine runs them: weights arranged for its products, once.

Legend: T rows, D hidden, A numbers of all heads together.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoder.arranged import Arranged, NotArranged, Weights, arranged_layers, check_arrangeable
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.retention import Thresholds
from .kernels import attend_first
from .products import FloatProduct, Product, RowProduct


class NotNative(PowerbertError):
    """A model that the native engine does not run; says why."""


@dataclass(frozen=True)
class Layer:
    """
    Attributes:
        of: what the layer consists of.
        qkv, output, up, down: its products.
        exact: query, key and value in float32, whatever qkv takes.
    """

    of: Arranged
    qkv: Product
    output: Product
    up: Product
    down: Product | RowProduct
    exact: FloatProduct

    def first_context(self, x: Tensor, starts: Tensor, positions: Tensor | None) -> Tensor:
        """A·V for the first word-vector of each input (B, A), without keys and values of the others.

        As in `PlainBlock.first_context`. Not of blocks that turn keys by position.

        Args:
            x: (T, D) float32, packed, as the layer is given it; starts: (B + 1,) int32.
        """
        heads, size = self.of.heads, self.of.size
        if self.of.leads and self.of.norm1 is not None:
            scale, shift, eps = self.of.norm1
            x = F.layer_norm(x, scale.shape, scale, shift, eps)
        w_q, w_k, w_v = self.exact.weight.unflatten(0, (3, heads, size)).unbind()  # (H, A/H, D)
        first = x.index_select(0, starts[:-1])
        bias = self.exact.bias
        b_q, _, b_v = (None, None, None) if bias is None else bias.unflatten(0, (3, -1)).unbind()
        query = F.linear(first, w_q.flatten(0, 1), b_q).unflatten(1, (heads, size)).transpose(0, 1)
        asked = (torch.bmm(query, w_k).transpose(0, 1) * size**-0.5).contiguous()
        means = attend_first(x, starts, asked, positions, self.of.tables.get("bias"), self.of.span)
        context = torch.bmm(means.transpose(0, 1), w_v.mT).transpose(0, 1).flatten(1)
        return context if b_v is None else context + b_v


def layers_of(model: ShortenedModel, dtype: torch.dtype) -> list[Layer]:
    """Of all layers; those that share their weights are one object.

    Args:
        dtype: of the products.

    Raises:
        NotNative
    """
    try:
        check_arrangeable(model)
        if isinstance(model.elimination.retention, Thresholds):
            raise NotNative("strategy=threshold keeps numbers of word-vectors that only scores say")
        parts = arranged_layers(model)
    except NotArranged as error:
        raise NotNative(str(error)) from error
    known: dict[int, Layer] = {}
    return [known.get(id(part)) or known.setdefault(id(part), _layer(part, dtype)) for part in parts]


def _layer(of: Arranged, dtype: torch.dtype) -> Layer:
    exact, output, up, down = map(_product, (of.qkv, of.output, of.up, of.down))
    return Layer(of, exact.to(dtype), output.to(dtype), up.to(dtype), down.to(dtype), exact)


def _product(weights: Weights) -> FloatProduct:
    if weights[0].dtype != torch.float32 or weights[0].device.type != "cpu":
        raise NotNative("it takes models in float32 on the CPU")
    return FloatProduct(*weights)
