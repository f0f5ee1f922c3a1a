"""Linear layers of a host model with few bits: as parametrisations in training, baked into the weights afterwards.

The layers are those of the encoder's blocks. Embeddings, norms, softmax, the products of attention, the pooler and the
classifier keep full precision, as in the authors' program.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from ..method.quantisation import GROUP, mask_2_4, pact_plus, percentile_clips, sawb_plus
from .families import family_of

INPUTS = "input_quantiser"  # what a layer calls the module that quantises its inputs


class NotQuantisable(ValueError):
    """A model whose layers cannot have fewer bits."""


@dataclass(frozen=True)
class Clips:
    """Between which the inputs of layers are quantised.

    Attributes:
        bits: of them.
        of: lowest and highest by the layer's name.
    """

    bits: int
    of: dict[str, tuple[float, float]]


class _Masked(nn.Module):
    """Parametrisation: the weights of a fixed mask (O, I) bool, else 0."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class _Sawb(nn.Module):
    """Parametrisation: the nearest levels."""

    def __init__(self, bits: int, by_row: bool) -> None:
        super().__init__()
        self.bits, self.by_row = bits, by_row

    def forward(self, weight: Tensor) -> Tensor:
        return sawb_plus(weight, self.bits, self.by_row)


class InputQuantiser(nn.Module):
    """Quantises what a linear layer is given, between two clips; `low` of inputs that are never negative is fixed."""

    def __init__(self, bits: int, low: float, high: float) -> None:
        super().__init__()
        self.bits = bits
        self.low = nn.Parameter(torch.tensor(low), requires_grad=low < 0)
        self.high = nn.Parameter(torch.tensor(high))

    def forward(self, x: Tensor) -> Tensor:
        return pact_plus(x, self.low, self.high, self.bits)


def _quantise_inputs(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.get_submodule(INPUTS)(given[0]), *given[1:])


def linear_layers(host: PreTrainedModel) -> dict[str, nn.Linear]:
    """The linear layers of a host's blocks by their name in the host, each once."""
    names = {id(module): name for name, module in host.named_modules()}
    found: dict[str, nn.Linear] = {}
    for block in family_of(host).blocks(host):
        for module in (one for parts in block.host_parts().values() for one in parts if isinstance(one, nn.Module)):
            found |= {names[id(one)]: one for one in module.modules() if isinstance(one, nn.Linear)}
    return found


def quantise_weights(host: PreTrainedModel, bits: int | None, sparse: bool, by_row: bool = False) -> None:
    """Has the weights of the linear layers masked 2:4 by their magnitude now, and quantised whenever they are read.

    Args:
        bits: None: as they are.
        by_row: each output has its own clip.

    Raises:
        NotQuantisable: a layer has no multiple of 4 inputs, and 2:4 is asked for.
    """
    for name, layer in linear_layers(host).items():
        if sparse:
            if layer.in_features % GROUP:
                raise NotQuantisable(
                    f"{name} has {layer.in_features} inputs, and 2:4 sparsity needs a multiple of {GROUP}"
                )
            parametrize.register_parametrization(layer, "weight", _Masked(mask_2_4(layer.weight)))
        if bits is not None:
            parametrize.register_parametrization(layer, "weight", _Sawb(bits, by_row))


@torch.no_grad()
def calibrated_clips(host: PreTrainedModel, bits: int, run: Iterable[Any]) -> Clips:
    """Clips at the percentiles 0.1 and 99.9 of what the layers are given, averaged over batches.

    Args:
        run: runs the model on a batch each time that it is advanced.
    """
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in linear_layers(host)}

    def see(name: str) -> Any:
        return lambda layer, given: seen[name].append(percentile_clips(given[0]))

    hooks = [layer.register_forward_pre_hook(see(name)) for name, layer in linear_layers(host).items()]
    try:
        for _ in run:
            pass
    finally:
        for hook in hooks:
            hook.remove()

    def mean(values: Iterable[float]) -> float:
        given = list(values)
        return sum(given) / len(given)

    return Clips(bits, {n: (mean(low for low, _ in ends), mean(high for _, high in ends)) for n, ends in seen.items()})


def quantise_inputs(host: PreTrainedModel, clips: Clips) -> None:
    """Has the linear layers quantise their inputs.

    Raises:
        NotQuantisable: the clips are not those of the model's layers.
    """
    layers = linear_layers(host)
    if layers.keys() != clips.of.keys():
        other = min(layers.keys() ^ clips.of.keys())
        raise NotQuantisable(f"it quantises the inputs of other layers than the model has: {other}")
    for name, layer in layers.items():
        layer.add_module(INPUTS, InputQuantiser(clips.bits, *clips.of[name]).to(layer.weight.device))
        layer.register_forward_pre_hook(_quantise_inputs)


def clips_of(host: PreTrainedModel) -> Clips | None:
    """As they are now; None where inputs are not quantised."""
    quantisers = {n: q for n, layer in linear_layers(host).items() if (q := _quantiser(layer)) is not None}
    if not quantisers:
        return None
    bits = next(iter(quantisers.values())).bits
    return Clips(bits, {name: (float(q.low.detach()), float(q.high.detach())) for name, q in quantisers.items()})


def _quantiser(layer: nn.Module) -> InputQuantiser | None:
    found = getattr(layer, INPUTS, None)
    return found if isinstance(found, InputQuantiser) else None


def clip_parameters(host: nn.Module) -> list[nn.Parameter]:
    """The clips that are learned."""
    quantisers = (module for module in host.modules() if isinstance(module, InputQuantiser))
    return [clip for quantiser in quantisers for clip in (quantiser.low, quantiser.high) if clip.requires_grad]


def bake(host: PreTrainedModel) -> None:
    """Leaves the weights as they were read: masked and on their levels. Inputs are quantised as before."""
    for layer in linear_layers(host).values():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def without_clips(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as plain transformers knows it."""
    return {name: tensor for name, tensor in state.items() if f".{INPUTS}." not in name}
