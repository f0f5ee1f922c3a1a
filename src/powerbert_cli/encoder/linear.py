"""Linear layers, joined for inference and given to files."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Joined:
    """x·Wᵀ + b of several linear layers on the same input, in one product. Has no gradient."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight: (O, D); bias: (O,), or None."""
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """(…, D) → (…, O)."""
        return F.linear(x, self.weight, self.bias)


def is_linear(layer: object) -> bool:
    """Whether a layer is no more than a product and a bias (not a quantised, adapted or hooked one)."""
    return type(layer) is nn.Linear and not layer._forward_pre_hooks and not layer._forward_hooks


def joined(*layers: Any) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of several layers on the same input in one."""
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
