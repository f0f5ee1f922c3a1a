"""Layers and feed-forward neurons of a host model, really taken out of it."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .families import family_of, family_of_config


class NotRemovable(ValueError):
    """A model whose layers or feed-forward neurons cannot be removed one by one."""


def check_removable(config: Any, layers: bool, neurons: bool) -> None:
    """Whether these can be removed of a model.

    Raises:
        NotRemovable
    """
    family = family_of_config(config)
    if neurons and family.whole_neurons:
        raise NotRemovable(f"feed-forward neurons of {config.model_type} are not removed: {family.whole_neurons}")
    if layers and not family.cuts(config):
        raise NotRemovable(f"layers of this {config.model_type} are not removed: they are of several groups")


def feed_forwards(host: PreTrainedModel) -> list[Any]:
    """Views of a host's blocks, with the feed-forward part's matrices `up` and `down`.

    Raises:
        NotRemovable
    """
    check_removable(host.config, layers=False, neurons=True)
    return list(family_of(host).blocks(host))


def neurons_of(block: Any, x: Tensor) -> Tensor:
    """The activations of a block's neurons for what its feed-forward part receives: (T, D) → (T, N)."""
    return block.activation(block.up(x))


def keep_neurons(block: Any, index: Tensor) -> None:
    """Leaves a block only the neurons at `index` (K,), in place."""
    index = index.to(block.up.weight.device)
    _cut(block.up, block.up.weight[index], None if block.up.bias is None else block.up.bias[index])
    _cut(block.down, block.down.weight[:, index], block.down.bias)


@torch.no_grad()
def _cut(linear: Any, weight: Tensor, bias: Tensor | None) -> None:
    linear.weight = nn.Parameter(weight.detach().clone())
    linear.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    linear.out_features, linear.in_features = weight.shape


def set_width(host: PreTrainedModel, neurons: int) -> None:
    """Has the config say what all layers have now."""
    setattr(host.config, family_of(host).neurons_key, neurons)


def keep_layers(host: PreTrainedModel, index: Sequence[int]) -> None:
    """Leaves a classifier only these of its layers, in place; the config says so. Where layers are one, so many.

    Raises:
        NotRemovable
    """
    check_removable(host.config, layers=True, neurons=False)
    stack = family_of(host).stack
    if stack is not None:
        layers = stack(host)
        left = [layers[i] for i in index]
        del layers[:]
        layers.extend(left)
    if getattr(host.config, "layer_types", None):
        host.config.layer_types = [host.config.layer_types[i] for i in index]
    host.config.num_hidden_layers = len(index)


def host_of_sizes(host: PreTrainedModel, layers: int, neurons: int) -> PreTrainedModel:
    """A classifier like this one, with so many layers and feed-forward neurons in each, and random weights."""
    config = copy.deepcopy(host.config)
    if getattr(config, "layer_types", None):
        config.layer_types = (config.layer_types * layers)[:layers]
    config.num_hidden_layers = layers
    setattr(config, family_of(host).neurons_key, neurons)
    return type(host)(config).eval()
