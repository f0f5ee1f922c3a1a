"""Few bits and 2:4 sparsity: SAWB+ weights, PACT+ activations, masks by magnitude.

Deep Compression is Wang et al., "Deep Compression of Pre-trained Transformer Models" (NeurIPS 2022). SAWB is Choi et
al., "Accurate and Efficient 2-bit Quantized Neural Networks" (2019), here with as many levels below 0 as above, so that
0 is one of them and a weight that was pruned stays 0. PACT is Choi et al. (2018); PACT+ has a gradient from the
rounding inside the clips too.

Legend: O outputs, I inputs of a linear layer. Bits b: weights have 2^b - 1 levels, activations 2^b.
"""

from typing import Any

import torch
from torch import Tensor

# Coefficients of a = c1 sqrt(E[w²]) - c2 E|w|, by bits: the clip that is best for weights of several distributions.
_SAWB = {2: (2.6, 1.71), 4: (12.035, 12.03), 8: (31.76, 35.04)}
GROUP, KEPT = 4, 2  # of 2:4 sparsity


def levels_of(bits: int) -> int:
    """Levels of a weight above 0; below are as many."""
    return int(2 ** (bits - 1) - 1)


def sawb_clip(weight: Tensor, bits: int, by_row: bool = False) -> Tensor:
    """The largest weight that has a level of its own, by the first two moments.

    Args:
        weight: (O, I).
        by_row: one for each output, (O, 1), in place of one for all, ().
    """
    c1, c2 = _SAWB[bits]
    size = weight.abs()
    over: dict[str, Any] = {"dim": 1, "keepdim": True} if by_row else {}
    clip = c1 * size.square().mean(**over).sqrt() - c2 * size.mean(**over)
    largest = size.amax(**over) if by_row else size.max()
    return torch.where(clip > 0, clip, largest)


class _StraightThrough(torch.autograd.Function):
    """Another value, the gradient as if it were this one."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def sawb_plus(weight: Tensor, bits: int, by_row: bool = False) -> Tensor:
    """The nearest levels, (O, I): a/n · clamp(round(n w/a), -n, n) with n levels above 0. All gradients go through."""
    detached = weight.detach().float()
    step = sawb_clip(detached, bits, by_row) / levels_of(bits)
    value = (codes(detached, step, bits) * step).to(weight.dtype)
    return _StraightThrough.apply(weight, value) if weight.requires_grad else value  # type: ignore[no-any-return]


def codes(weight: Tensor, step: Tensor, bits: int) -> Tensor:
    """Whole numbers from -n to n, of which `step` times as much is nearest to each weight; of a step of 0 it is 0."""
    n = levels_of(bits)
    return torch.where(step > 0, weight / step, 0.0).round().clamp(-n, n)


def mask_2_4(weight: Tensor) -> Tensor:
    """Which weights stay: of four neighbours along the inputs the two largest by magnitude, (O, I) bool.

    Of equal ones the first stay.

    Raises:
        ValueError: I is no multiple of 4.
    """
    if weight.shape[1] % GROUP:
        raise ValueError(f"2:4 sparsity needs a multiple of {GROUP} inputs, not {weight.shape[1]}")
    groups = weight.detach().abs().unflatten(1, (-1, GROUP))
    kept = groups.argsort(dim=-1, descending=True, stable=True)[..., :KEPT]
    return torch.zeros_like(groups, dtype=torch.bool).scatter(-1, kept, True).flatten(1)


class _PactPlus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
        y, low, high, z = _rounded(x, low, high, bits)
        ctx.save_for_backward(x, low, high, z)
        ctx.most = 2**bits - 1
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (g,), (x, low, high, z) = gradients, ctx.saved_tensors
        above, below = x > high, x < low
        inside = g.masked_fill(above | below, 0)
        residue = (inside.float() * (z - z.round()) / ctx.most).sum()
        d_high = g.masked_fill(~above, 0).float().sum() - residue
        d_low = g.masked_fill(~below, 0).float().sum() + residue
        return inside, d_low, d_high, None


def pact_plus(x: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """The nearest of 2^b levels between two learned clips, moved so that 0 is one of them.

    Inside the clips the gradient of `high` is the rounding's residue (round z - z)/n, z the place among n steps, and
    that of `low` its negative; above and below them each clip has the gradient of what it clips.

    Args:
        x: any shape.
        low, high: (), low ≤ 0 < high.
    """
    if torch.is_grad_enabled():
        return _PactPlus.apply(x, low, high, bits)  # type: ignore[no-any-return]
    return _rounded(x, low, high, bits)[0]


def _rounded(x: Tensor, low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Levels, the clips as they are when 0 is a level, and places among the steps, in float32."""
    most = 2**bits - 1
    step = (high - low).clamp(min=torch.finfo(torch.float32).tiny) / most
    zero = (-low / step).round().clamp(0, most)
    low, high = -zero * step, (most - zero) * step
    z = (x.float() / step + zero).clamp(0, most)
    return ((z.round() - zero) * step).to(x.dtype), low, high, z


def percentile_clips(x: Tensor, share: float = 0.001) -> tuple[float, float]:
    """Between which all but a share on either side lies, with 0 inside: what the clips begin with."""
    values = x.detach().float().flatten()
    if len(values) > _MOST_SEEN:
        values = values[:: -(-len(values) // _MOST_SEEN)]
    ends = torch.quantile(values, torch.tensor([share, 1 - share], device=values.device))
    return min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)


_MOST_SEEN = 2_000_000  # torch.quantile takes no more than 16 million
