"""Layers, heads and feed-forward neurons of a host model, really taken out of it; and put back as zeros to be saved."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .block import Block, PlainBlock, kept_heads
from .families import family_of, family_of_config


class NotRemovable(ValueError):
    """A model whose layers, heads or feed-forward neurons cannot be removed."""


class LayerSizes(NamedTuple):
    """
    Attributes:
        heads: those that are left, of the whole model's, 0-based, ascending.
        neurons: of the feed-forward part.
    """

    heads: tuple[int, ...]
    neurons: int


def check_removable(config: Any, layers: bool, within: bool) -> None:
    """Whether a model allows it.

    Args:
        layers: whole layers are to be removed. within: heads or feed-forward neurons are.

    Raises:
        NotRemovable
    """
    family = family_of_config(config)
    if within and family.whole:
        raise NotRemovable(f"heads and feed-forward neurons of {config.model_type} are not removed: {family.whole}")
    if layers and not family.cuts(config):
        raise NotRemovable(f"layers of this {config.model_type} are not removed: they are of several groups")


def open_blocks(host: PreTrainedModel) -> list[Any]:
    """Views of a host's blocks, whose matrices can be cut: query, key, value, output, up, down.

    Raises:
        NotRemovable
    """
    check_removable(host.config, layers=False, within=True)
    return list(family_of(host).blocks(host))


def sizes_of(host: PreTrainedModel) -> tuple[LayerSizes, ...]:
    """What each layer has."""
    return tuple(LayerSizes(_heads_of(block, host.config), block.neurons) for block in family_of(host).blocks(host))


def _heads_of(block: Block, config: Any) -> tuple[int, ...]:
    left = kept_heads(block.query) if isinstance(block, PlainBlock) else None
    return tuple(range(config.num_attention_heads)) if left is None else left


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


def keep_heads(block: Any, index: Sequence[int]) -> None:
    """Leaves a block only these of the heads that it has, in place; the view itself is no longer true."""
    before = kept_heads(block.query)
    rows = _rows_of(index, block.head_size).to(block.query.weight.device)
    for layer in (block.query, block.key, block.value):
        _cut(layer, layer.weight[rows], None if layer.bias is None else layer.bias[rows])
    _cut(block.output, block.output.weight[:, rows], block.output.bias)
    block.query.kept_heads = tuple(index) if before is None else tuple(before[i] for i in index)


def _rows_of(heads: Sequence[int], size: int) -> Tensor:
    """Where the numbers of these heads are among those of all."""
    return (torch.tensor(heads, dtype=torch.long).unsqueeze(-1) * size + torch.arange(size)).flatten()


def set_width(host: PreTrainedModel) -> None:
    """Has the config say how many neurons the layers have now, of several numbers the largest."""
    setattr(host.config, family_of(host).neurons_key, max(size.neurons for size in sizes_of(host)))


def fits_config(host: PreTrainedModel) -> bool:
    """Whether all layers have the sizes that the config says, so that plain transformers can build the model."""
    heads, neurons = host.config.num_attention_heads, getattr(host.config, family_of(host).neurons_key)
    return all(len(size.heads) == heads and size.neurons == neurons for size in sizes_of(host))


def filled(host: PreTrainedModel) -> dict[str, Tensor]:
    """The state dict in the sizes that the config says: with zeros where heads and neurons were removed.

    The model that plain transformers makes of it gives the same logits: what a removed head or neuron writes is 0.
    """
    state, names = host.state_dict(), {id(tensor): name for name, tensor in host.named_parameters()}
    width = getattr(host.config, family_of(host).neurons_key)

    def put(tensor: Tensor | None, dim: int, at: Tensor, size: int) -> None:
        if tensor is not None:
            shape = list(tensor.shape)
            shape[dim] = size
            zeros = tensor.new_zeros(shape)
            state[names[id(tensor)]] = zeros.index_copy(dim, at.to(tensor.device), tensor.detach())

    for block, size in zip(open_blocks(host), sizes_of(host), strict=True):
        rows, neurons = _rows_of(size.heads, block.head_size), torch.arange(size.neurons)
        attended = host.config.num_attention_heads * block.head_size
        for layer in (block.query, block.key, block.value):
            put(layer.weight, 0, rows, attended)
            put(layer.bias, 0, rows, attended)
        put(block.output.weight, 1, rows, attended)
        put(block.up.weight, 0, neurons, width)
        put(block.up.bias, 0, neurons, width)
        put(block.down.weight, 1, neurons, width)
    return state


def strip(host: PreTrainedModel, sizes: Sequence[LayerSizes]) -> None:
    """Takes out again what `filled` put in, in place.

    Raises:
        NotRemovable: the sizes are not of this model, or what is to go is not zero.
    """
    blocks = open_blocks(host)
    if len(sizes) != len(blocks):
        raise NotRemovable(f"has sizes of {len(sizes)} layers, the model has {len(blocks)}")
    for j, (block, size) in enumerate(zip(blocks, sizes, strict=True), start=1):
        if not set(size.heads) <= set(range(block.heads)) or not 1 <= size.neurons <= block.neurons:
            raise NotRemovable(
                f"layer {j} has heads {list(size.heads)} and {size.neurons} neurons in it, the model less"
            )
        gone = [h for h in range(block.heads) if h not in size.heads]
        writes = (
            block.output.weight[:, _rows_of(gone, block.head_size).to(block.output.weight.device)],
            block.down.weight[:, size.neurons :],
        )
        if any(bool(weight.count_nonzero()) for weight in writes):
            raise NotRemovable(f"what it removes of layer {j} is not zero in the weights: they belong to another model")
        keep_neurons(block, torch.arange(size.neurons))
        keep_heads(block, size.heads)


def keep_layers(host: PreTrainedModel, index: Sequence[int]) -> None:
    """Leaves a classifier only these of its layers, in place; the config says so. Where layers are one, so many.

    Raises:
        NotRemovable
    """
    check_removable(host.config, layers=True, within=False)
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
