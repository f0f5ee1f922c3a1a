"""Where DistilBERT, MPNet and ModernBERT keep the parts of their blocks."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from .bert_hosts import bert_stack, beside_attention, heads_and_size, pooled_head
from .block import Block, PostNormBlock, kept_heads
from .family import Family, Reads, embed_head, heads, sequence_head
from .modern_block import ModernBlock

# DistilBERT


def _distilbert_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return host.distilbert.embeddings(ids, position_ids=positions)


def _distilbert_blocks(host: Any) -> tuple[Block, ...]:
    config = host.config
    return tuple(
        PostNormBlock(
            **heads_and_size(layer.attention.q_lin, config),
            attention_dropout=config.attention_dropout,
            query=layer.attention.q_lin,
            key=layer.attention.k_lin,
            value=layer.attention.v_lin,
            output=layer.attention.out_lin,
            norm1=layer.sa_layer_norm,
            up=layer.ffn.lin1,
            activation=layer.ffn.activation,
            down=layer.ffn.lin2,
            norm2=layer.output_layer_norm,
            output_dropout=0.0,  # the host has none here
            hidden_dropout=config.dropout,
        )
        for layer in host.distilbert.transformer.layer
    )


def _distilbert_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.dropout(torch.relu(host.pre_classifier(hidden[:, 0]))))


DISTILBERT = Family(
    _distilbert_embed,
    _distilbert_blocks,
    heads(_distilbert_head, _distilbert_head, answer=lambda host, hidden, mask: host.qa_outputs(host.dropout(hidden))),
    neurons_key="hidden_dim",
    stack=lambda host: host.distilbert.transformer.layer,
)

# MPNet: all layers share one bias by relative position


def after_first_two(config: Any) -> int:
    """MPNet does so whatever its padding token."""
    return 2


def _mpnet_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return host.mpnet.embeddings(input_ids=ids, position_ids=positions)


def _mpnet_bias(encoder: Any, query: Any, positions: Tensor) -> Tensor:
    apart = positions[:, None, :] - positions[:, :, None]  # key minus query, (B, N, N)
    buckets = encoder.relative_position_bucket(apart, num_buckets=encoder.config.relative_attention_num_buckets)
    bias = encoder.relative_attention_bias(buckets).permute(0, 3, 1, 2)
    left = kept_heads(query)
    return bias if left is None else bias[:, list(left)]


def _mpnet_blocks(host: Any) -> tuple[Block, ...]:
    config, encoder = host.config, host.mpnet.encoder
    return tuple(
        PostNormBlock(
            query=layer.attention.attn.q,
            key=layer.attention.attn.k,
            value=layer.attention.attn.v,
            output=layer.attention.attn.o,
            norm1=layer.attention.LayerNorm,
            relative_bias=partial(_mpnet_bias, encoder, layer.attention.attn.q),
            **heads_and_size(layer.attention.attn.q, config),
            **beside_attention(layer, config),
        )
        for layer in encoder.layer
    )


MPNET = Family(
    _mpnet_embed,
    _mpnet_blocks,
    heads(sequence_head, partial(pooled_head, "mpnet")),
    position_offset=after_first_two,
    stack=partial(bert_stack, "mpnet"),
)

# ModernBERT: norms lead, rotary positions, local windows


def _modernbert_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return host.model.embeddings(input_ids=ids)  # attention alone knows positions


def _modernbert_blocks(host: Any) -> tuple[Block, ...]:
    config, rotary = host.config, host.model.rotary_emb
    return tuple(
        ModernBlock(
            heads=config.num_attention_heads,
            head_size=config.hidden_size // config.num_attention_heads,
            attention_dropout=config.attention_dropout,
            norm1=layer.attn_norm,
            attention=layer.attn,
            norm2=layer.mlp_norm,
            mlp=layer.mlp,
            rotary=partial(rotary, layer_type=layer.attention_type),
            window=config.sliding_window if layer.attention_type == "sliding_attention" else None,
        )
        for layer in host.model.layers
    )


def _modernbert_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """With classifier_pooling=mean the mean is over the word-vectors that the last layer kept."""
    hidden = host.model.final_norm(hidden)
    if host.config.classifier_pooling == "cls":
        pooled = hidden[:, 0]
    elif mask is None:
        pooled = hidden.mean(dim=1)
    else:
        pooled = (hidden * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return host.classifier(host.drop(host.head(pooled)))


def _modernbert_each(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.drop(host.head(host.model.final_norm(hidden))))


def _modernbert_vector(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return embed_head(host, host.model.final_norm(hidden), mask)


def _modernbert_reads(config: Any) -> Reads:
    return "first" if config.classifier_pooling == "cls" else "mean"


MODERNBERT = Family(
    _modernbert_embed,
    _modernbert_blocks,
    heads(
        _modernbert_head,
        _modernbert_head,
        answer=_modernbert_each,
        tag=_modernbert_each,
        embed=_modernbert_vector,
        classify_reads=_modernbert_reads,
        choose_reads=_modernbert_reads,
    ),
    pairs=1.5,  # gated: three matrices
    whole="its feed-forward parts are gated, and query, key and value are one matrix",
    stack=lambda host: host.model.layers,
    rotary=True,
)
