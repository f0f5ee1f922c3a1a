"""Where ViT and DeiT keep the parts of their blocks: patches of a picture in place of word-pieces, [CLS] first."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .block import Block, PreNormBlock
from .family import PICTURES, SEES, Family, Head, Signal, reads_first


def _embed(base: str, host: Any, pixels: Tensor, mask: Tensor | None) -> tuple[Tensor, None]:
    """Pictures (B, channels, height, width), of which none is padded."""
    embeddings = getattr(host, base).embeddings
    return embeddings(pixels.to(embeddings.patch_embeddings.projection.weight.dtype)), None


def _blocks(base: str, host: Any) -> tuple[Block, ...]:
    config = host.config
    layers: Any = stack(base, host)
    return tuple(
        PreNormBlock(
            heads=layer.attention.q_proj.out_features // layer.attention.head_dim,
            head_size=layer.attention.head_dim,
            attention_dropout=config.attention_probs_dropout_prob,
            query=layer.attention.q_proj,
            key=layer.attention.k_proj,
            value=layer.attention.v_proj,
            output=layer.attention.o_proj,
            norm1=layer.layernorm_before,
            up=layer.mlp.fc1,
            activation=layer.mlp.activation_fn,
            down=layer.mlp.fc2,
            norm2=layer.layernorm_after,
            output_dropout=config.hidden_dropout_prob,
            hidden_dropout=config.hidden_dropout_prob,
        )
        for layer in layers
    )


def stack(base: str, host: Any) -> nn.ModuleList:
    return getattr(host, base).layers


def _head(base: str, host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(getattr(host, base).layernorm(hidden[:, 0]))


def patches_of(config: Any) -> tuple[int, int]:
    """Rows and columns of the patches that a picture falls into."""
    size, patch = (
        pair if isinstance(pair, (tuple, list)) else (pair, pair) for pair in (config.image_size, config.patch_size)
    )
    return size[0] // patch[0], size[1] // patch[1]


def _positions(leading: int, config: Any) -> int:
    rows, columns = patches_of(config)
    return rows * columns + leading


def _sizes(leading: int, config: Any, pixels: Tensor, mask: Tensor | None) -> Tensor:
    return torch.full((len(pixels),), _positions(leading, config))


def _family(base: str, leading: int) -> Family:
    return Family(
        embed=None,
        blocks=partial(_blocks, base),
        heads={SEES: Head(partial(_head, base), reads_first)},
        stack=partial(stack, base),
        positions=partial(_positions, leading),
        signal=Signal(PICTURES, partial(_embed, base), partial(_sizes, leading), "patches", leading),
    )


VIT = _family("vit", 1)
DEIT = _family("deit", 2)  # a second token learned from a teacher; the plain classifier does not read it
