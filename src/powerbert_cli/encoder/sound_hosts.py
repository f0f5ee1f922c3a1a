"""Where Wav2Vec2 and HuBERT keep the parts of their blocks: frames of sound in place of word-pieces, no [CLS]."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .answered import as_blank, ctc_loss, tag_choices
from .block import Block, PostNormBlock, PreNormBlock
from .family import CLASSIFIES, SOUND, SPELLS, Family, Head, Signal, UnsupportedModelError, reads_all
from .inputs import real_mask

LONGEST = 2**20  # frames: positions are convolved, so that nothing bounds them


def _embed(base: str, host: Any, sound: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Samples (B, T), of which those count that the mask (B, T) says, into frames; SpecAugment in training."""
    model = getattr(host, base)
    real = real_mask(mask)
    frames = model.feature_extractor(sound.to(next(model.feature_projection.parameters()).dtype)).transpose(1, 2)
    if real is not None:
        real = model._get_feature_vector_attention_mask(frames.shape[1], real.long(), **_NO_ADAPTER[base])
    projected = model.feature_projection(frames)
    hidden = projected[0] if isinstance(projected, tuple) else projected
    # a copy, as transformers writes into what it is given
    hidden = model._mask_hidden_states(hidden.clone(), **_MASKED[base](real))
    encoder = model.encoder
    if real is not None:
        hidden = torch.where(real.unsqueeze(-1), hidden, 0.0)
    hidden = hidden + encoder.pos_conv_embed(hidden)
    if not host.config.do_stable_layer_norm:
        hidden = encoder.layer_norm(hidden)
    return encoder.dropout(hidden), real


_NO_ADAPTER: dict[str, dict[str, Any]] = {"wav2vec2": {"add_adapter": False}, "hubert": {}}
_MASKED: dict[str, Any] = {"wav2vec2": lambda mask: {"attention_mask": mask}, "hubert": lambda mask: {}}


def frames_of(config: Any, sound: Tensor, mask: Tensor | None) -> Tensor:
    """Frames that the convolutions make of each input's samples, (B,) int64; see `_embed`."""
    count = torch.full((len(sound),), sound.shape[1]) if mask is None else mask.sum(dim=-1)
    for kernel, stride in convolutions_of(config):
        count = (count - kernel) // stride + 1
    return count


def convolutions_of(config: Any) -> list[tuple[int, int]]:
    """Kernel and stride of each, in samples of what it is given."""
    return list(zip(config.conv_kernel, config.conv_stride, strict=True))


def samples_for(convolutions: Sequence[tuple[int, int]], frames: int) -> int:
    """The fewest samples of which `frames_of` makes so many."""
    for kernel, stride in reversed(convolutions):
        frames = (frames - 1) * stride + kernel
    return frames


def _block(config: Any, layer: Any) -> Block:
    made = PreNormBlock if config.do_stable_layer_norm else PostNormBlock
    attention, feed = layer.attention, layer.feed_forward
    return made(
        heads=attention.q_proj.out_features // attention.head_dim,
        head_size=attention.head_dim,
        attention_dropout=config.attention_dropout,
        query=attention.q_proj,
        key=attention.k_proj,
        value=attention.v_proj,
        output=attention.out_proj,
        norm1=layer.layer_norm,
        up=feed.intermediate_dense,
        activation=feed.intermediate_act_fn,
        down=feed.output_dense,
        norm2=layer.final_layer_norm,
        output_dropout=config.hidden_dropout,
        hidden_dropout=config.hidden_dropout,
    )


def _blocks(base: str, host: Any) -> tuple[Block, ...]:
    """
    Raises:
        UnsupportedModelError: adapters, or a head that weighs the states of all layers.
    """
    config = host.config
    for setting, wanted in (("add_adapter", False), ("adapter_attn_dim", None), ("use_weighted_layer_sum", False)):
        if getattr(config, setting, wanted) != wanted:
            raise UnsupportedModelError(
                f"config.{setting}={getattr(config, setting)}: this {config.model_type} does more than its layers in a "
                f"row; only models with {setting}={wanted} are served"
            )
    return tuple(_block(config, layer) for layer in stack(base, host))


def stack(base: str, host: Any) -> nn.ModuleList:
    return getattr(host, base).encoder.layers


def _last(base: str, host: Any, hidden: Tensor) -> Tensor:
    """Where norms lead, the last one follows all layers."""
    return getattr(host, base).encoder.layer_norm(hidden) if host.config.do_stable_layer_norm else hidden


def _class(base: str, host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    projected = host.projector(_last(base, host, hidden))
    if mask is None:
        return host.classifier(projected.mean(dim=1))
    weights = mask.unsqueeze(-1).to(projected.dtype)
    return host.classifier((projected * weights).sum(dim=1) / weights.sum(dim=1))


def _letters(base: str, host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Logits of letters (B, N, C); frames of padding say blank."""
    return as_blank(host.lm_head(host.dropout(_last(base, host, hidden))), mask, host.config)


def _family(base: str) -> Family:
    return Family(
        embed=None,
        blocks=partial(_blocks, base),
        heads={
            CLASSIFIES: Head(partial(_class, base), reads_all, averages=True),
            SPELLS: Head(partial(_letters, base), reads_all, ctc_loss, tag_choices),
        },
        stack=partial(stack, base),
        positions=lambda config: LONGEST,
        signal=Signal(SOUND, partial(_embed, base), frames_of, "frames"),
    )


WAV2VEC2 = _family("wav2vec2")
HUBERT = _family("hubert")
