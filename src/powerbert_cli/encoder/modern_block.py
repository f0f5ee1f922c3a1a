"""The block of ModernBERT, as the shortened encoder calls it.

Legend: T rows, P parts (query, key, value), H heads, D hidden.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .block import Block, Layer, heads_of
from .linear import as_batch, is_linear


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

    def project(self, x: Tensor, positions: Tensor | None) -> Tensor:
        qkv = heads_of(as_batch(lambda x: self.attention.Wqkv(self.norm1(x)), x), 3, self.head_size)
        turned = rotate(qkv[:, :2], *self._turns(x, positions))
        return torch.cat((turned, qkv[:, 2:]), dim=1)

    def project_for(self, x: Tensor, positions: Tensor | None, queries: Tensor) -> tuple[Tensor, Tensor]:
        if not is_linear(self.attention.Wqkv):  # what it does to its inputs and weights is its own
            qkv = self.project(x, positions)
            return qkv[queries][:, :1], qkv[:, 1:]
        normed, turns = self.norm1(x), self._turns(x, positions)
        weight, bias, size = self.attention.Wqkv.weight, self.attention.Wqkv.bias, self.heads * self.head_size
        of_q, of_kv = (None, None) if bias is None else (bias[:size], bias[size:])
        q = heads_of(F.linear(normed.index_select(0, queries), weight[:size], of_q), 1, self.head_size)
        kv = heads_of(F.linear(normed, weight[size:], of_kv), 2, self.head_size)
        kv = torch.cat((rotate(kv[:, :1], *turns), kv[:, 1:]), dim=1)
        return rotate(q, *(turn[queries] for turn in turns)), kv

    def _turns(self, x: Tensor, positions: Tensor | None) -> list[Tensor]:
        """Cosines and sines of the rows' rotation, (T, D/H) each."""
        assert positions is not None
        return [turn[0] for turn in self.rotary(x, positions.unsqueeze(0))]

    def join(self, context: Tensor, residual: Tensor, training: bool) -> Tensor:
        return residual + as_batch(lambda context: self.attention.out_drop(self.attention.Wo(context)), context)

    @property
    def neurons(self) -> int:
        return int(self.mlp.Wo.in_features)  # type: ignore[attr-defined]

    def feed_forward(self, x: Tensor, training: bool) -> Tensor:
        return x + as_batch(lambda x: self.mlp(self.norm2(x)), x)

    @property
    def positional(self) -> bool:
        return True

    @property
    def biased(self) -> bool:
        return self.window is not None

    def bias(self, positions: Tensor) -> Tensor | None:
        if self.window is None:
            return None
        far = (positions[:, :, None] - positions[:, None, :]).abs() > self.window
        weight = self.norm2.weight  # type: ignore[attr-defined]
        return weight.new_zeros(()).expand(far.shape).masked_fill(far, 0.5 * torch.finfo(weight.dtype).min).unsqueeze(1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of (T, P, H, D/H) in float32, as the host computes it; cos and sin are (T, D/H)."""
    cos, sin = cos[:, None, None], sin[:, None, None]
    low, high = x.float().chunk(2, dim=-1)
    turned = torch.cat((-high, low), dim=-1)
    return (x.float() * cos + turned * sin).to(x.dtype)
