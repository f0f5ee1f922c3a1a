"""Linear layers, arranged for inference and for files."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to so many rows a product is faster with weights that were arranged beforehand for oneDNN;
# with more the arranging pays for itself. `benchmarks/linear.py` measures where that is.
FEW_ROWS = 512


class ArrangedLinear:
    """x·Wᵀ + b, fast on a CPU with few rows too.

    The first call with few rows makes a copy of the weights in the order in which oneDNN reads
    them: as much memory again as the weights take. Has no gradient.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight: (O, D); bias: (O,), or None."""
        self.weight, self.bias = weight, bias
        self._packs = (
            weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()
        )
        self._packed: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(…, D) → (…, O)."""
        if not self._packs or x.numel() > FEW_ROWS * x.shape[-1] or torch.is_autocast_enabled("cpu"):
            return F.linear(x, self.weight, self.bias)
        if self._packed is None:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")


def is_linear(layer: object) -> bool:
    """Whether a layer is no more than a product and a bias (not a quantised, adapted or hooked one)."""
    return type(layer) is nn.Linear and not layer._forward_pre_hooks and not layer._forward_hooks


def arranged(layer: Any) -> ArrangedLinear:
    return ArrangedLinear(layer.weight, layer.bias)


def joined(*layers: Any) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of several layers on the same input in one: with few rows one product is faster."""
    biases = [layer.bias for layer in layers]
    return torch.cat([layer.weight.detach() for layer in layers]), None if biases[0] is None else torch.cat(
        [bias.detach() for bias in biases]
    )


def as_batch(layers: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """What layers make of rows (T, …), which in a file are given as a batch of one input (1, T, …).

    OpenVINO quantises within the norm before a product where the numbers of a row are the third axis. Where they are
    the second, it writes the rows in float32 and quantises them apart.
    """
    if not torch.compiler.is_exporting():
        return layers(*rows)
    return layers(*(one.unsqueeze(0) for one in rows)).flatten(0, 1)
