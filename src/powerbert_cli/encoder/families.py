"""Where each Hugging Face model family keeps the parts of its blocks.

The only file that knows the insides of transformers' models. A family is an entry in
`FAMILIES`: how to embed, what the blocks are, how the heads read the last hidden states.

DeBERTa has no entry: its scores have terms of content against relative position that the fused
attention of this encoder cannot take as a bias, because they depend on query and key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .block import Block, PostNormBlock, kept_heads
from .modern_block import ModernBlock

Embed = Callable[[Any, Tensor, Tensor | None, Tensor | None], Tensor]
Head = Callable[[Any, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Family:
    """How the shortened encoder drives a host model of one family.

    Attributes:
        embed: (host, input_ids (B, N), token_type_ids or None, rows (B, N) of the position embeddings or None for those
            that the host takes) → (B, N, D).
        blocks: host → one view for each encoder layer.
        head: (host, last hidden states (B, K, D) with [CLS] at 0, their mask) → logits (B, C).
        choice_head: the same of a multiple-choice model, → (B, 1).
        reads_first_only: (config, whether it is a multiple-choice model) → whether the head reads
            the hidden state of [CLS] alone.
        layers: config → L.
        neurons_key: what its config calls the number of feed-forward neurons.
        pairs: of feed-forward matrices; a gated part has one and a half.
        whole: why its heads and feed-forward neurons cannot be removed layer by layer; None if they can.
        stack: host → its list of layers; None where layers are one, run several times.
        cuts: config → whether layers can be removed.
        rotary: keys are turned by position, so that none can do without.
        position_offset: config → rows of the position embeddings that no input uses.
    """

    embed: Embed
    blocks: Callable[[Any], tuple[Block, ...]]
    head: Head
    choice_head: Head
    reads_first_only: Callable[[Any, bool], bool] = lambda config, choice: True
    layers: Callable[[Any], int] = lambda config: config.num_hidden_layers
    neurons_key: str = "intermediate_size"
    pairs: float = 1.0
    position_offset: Callable[[Any], int] = lambda config: 0
    whole: str | None = None
    stack: Callable[[Any], nn.ModuleList] | None = None
    cuts: Callable[[Any], bool] = lambda config: True
    rotary: bool = False

    def feed_forward(self, config: Any) -> float:
        """F of a block with two feed-forward matrices of the same cost."""
        return self.pairs * float(getattr(config, self.neurons_key))


class UnsupportedModelError(ValueError):
    """The model's family has no entry here."""


def _after_padding(config: Any) -> int:
    """These families count positions from padding_idx + 1."""
    return config.pad_token_id + 1


def _after_first_two(config: Any) -> int:
    """MPNet does so whatever its padding token."""
    return 2


# BERT, RoBERTa and those with the same block


def _heads(query: Any, config: Any) -> dict[str, Any]:
    """Of a block: as many as its query has outputs for."""
    size = config.hidden_size // config.num_attention_heads
    return {"heads": query.out_features // size, "head_size": size}


def _beside_attention(layer: Any, config: Any) -> dict[str, Any]:
    """What BERT's relatives name alike in a block: all but the attention's own parts."""
    return {
        "attention_dropout": config.attention_probs_dropout_prob,
        "up": layer.intermediate.dense,
        "activation": layer.intermediate.intermediate_act_fn,
        "down": layer.output.dense,
        "norm2": layer.output.LayerNorm,
        "output_dropout": config.hidden_dropout_prob,
        "hidden_dropout": config.hidden_dropout_prob,
    }


def _bert_block(layer: Any, config: Any) -> Block:
    attention = layer.attention
    return PostNormBlock(
        query=attention.self.query,
        key=attention.self.key,
        value=attention.self.value,
        output=attention.output.dense,
        norm1=attention.output.LayerNorm,
        **_heads(attention.self.query, config),
        **_beside_attention(layer, config),
    )


def _bert_blocks(base: str, host: Any) -> tuple[Block, ...]:
    return tuple(_bert_block(layer, host.config) for layer in getattr(host, base).encoder.layer)


def _bert_stack(base: str, host: Any) -> nn.ModuleList:
    return getattr(host, base).encoder.layer


def _bert_embed(base: str, host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return getattr(host, base).embeddings(input_ids=ids, token_type_ids=types, position_ids=positions)


def _pooled_head(base: str, host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.dropout(getattr(host, base).pooler(hidden)))


def _sequence_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(hidden)


_BERT = Family(
    embed=partial(_bert_embed, "bert"),
    blocks=partial(_bert_blocks, "bert"),
    head=partial(_pooled_head, "bert"),
    choice_head=partial(_pooled_head, "bert"),
    stack=partial(_bert_stack, "bert"),
)
_ROBERTA = Family(
    embed=partial(_bert_embed, "roberta"),
    blocks=partial(_bert_blocks, "roberta"),
    head=_sequence_head,
    choice_head=partial(_pooled_head, "roberta"),
    position_offset=_after_padding,
    stack=partial(_bert_stack, "roberta"),
)

# ELECTRA


def _electra_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    embedded = _bert_embed("electra", host, ids, types, positions)
    return host.electra.embeddings_project(embedded) if hasattr(host.electra, "embeddings_project") else embedded


def _electra_choice(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.sequence_summary(hidden))


_ELECTRA = Family(
    _electra_embed,
    partial(_bert_blocks, "electra"),
    _sequence_head,
    _electra_choice,
    reads_first_only=lambda config, choice: not choice or config.summary_type == "first",
    stack=partial(_bert_stack, "electra"),
)

# ALBERT: the layers of a group share their weights


def _albert_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return host.albert.encoder.embedding_hidden_mapping_in(_bert_embed("albert", host, ids, types, positions))


def _albert_block(layer: Any, config: Any) -> Block:
    attention = layer.attention
    return PostNormBlock(
        **_heads(attention.query, config),
        attention_dropout=config.attention_probs_dropout_prob,
        query=attention.query,
        key=attention.key,
        value=attention.value,
        output=attention.dense,
        norm1=attention.LayerNorm,
        up=layer.ffn,
        activation=layer.activation,
        down=layer.ffn_output,
        norm2=layer.full_layer_layer_norm,
        output_dropout=config.hidden_dropout_prob,
        hidden_dropout=0.0,  # the host has none here
    )


def _albert_blocks(host: Any) -> tuple[Block, ...]:
    config, groups = host.config, host.albert.encoder.albert_layer_groups
    per_group = config.num_hidden_layers / config.num_hidden_groups
    return tuple(
        _albert_block(layer, config)
        for i in range(config.num_hidden_layers)
        for layer in groups[int(i / per_group)].albert_layers
    )


def _albert_head(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    pooled = host.albert.pooler_activation(host.albert.pooler(hidden[:, 0]))
    return host.classifier(host.dropout(pooled))


_ALBERT = Family(
    _albert_embed,
    _albert_blocks,
    _albert_head,
    _albert_head,
    layers=lambda config: config.num_hidden_layers * config.inner_group_num,
    whole="its layers share their weights",
    cuts=lambda config: config.num_hidden_groups == 1,
)

# DistilBERT


def _distilbert_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return host.distilbert.embeddings(ids, position_ids=positions)


def _distilbert_blocks(host: Any) -> tuple[Block, ...]:
    config = host.config
    return tuple(
        PostNormBlock(
            **_heads(layer.attention.q_lin, config),
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


_DISTILBERT = Family(
    _distilbert_embed,
    _distilbert_blocks,
    _distilbert_head,
    _distilbert_head,
    neurons_key="hidden_dim",
    stack=lambda host: host.distilbert.transformer.layer,
)

# MPNet: all layers share one bias by relative position


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
            **_heads(layer.attention.attn.q, config),
            **_beside_attention(layer, config),
        )
        for layer in encoder.layer
    )


_MPNET = Family(
    _mpnet_embed,
    _mpnet_blocks,
    _sequence_head,
    partial(_pooled_head, "mpnet"),
    position_offset=_after_first_two,
    stack=partial(_bert_stack, "mpnet"),
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


_MODERNBERT = Family(
    _modernbert_embed,
    _modernbert_blocks,
    _modernbert_head,
    _modernbert_head,
    reads_first_only=lambda config, choice: config.classifier_pooling == "cls",
    pairs=1.5,  # gated: three matrices
    whole="its feed-forward parts are gated, and query, key and value are one matrix",
    stack=lambda host: host.model.layers,
    rotary=True,
)

FAMILIES: dict[str, Family] = {
    "albert": _ALBERT,
    "bert": _BERT,
    "distilbert": _DISTILBERT,
    "electra": _ELECTRA,
    "modernbert": _MODERNBERT,
    "mpnet": _MPNET,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


def check_supported(model_type: str) -> None:
    """Raises UnsupportedModelError, with the list of the supported families."""
    if model_type not in FAMILIES:
        raise UnsupportedModelError(
            f"model type '{model_type}' is not supported; supported families: {', '.join(sorted(FAMILIES))}"
        )


def family_of(host: nn.Module) -> Family:
    """The entry for a loaded classifier."""
    return family_of_config(host.config)


def family_of_config(config: Any) -> Family:
    """The entry for a transformers config.

    Raises:
        UnsupportedModelError: lists the families that have one.
    """
    check_supported(config.model_type)
    return FAMILIES[config.model_type]


def layers_of(config: Any) -> int:
    """L: encoder layers, each of which can eliminate."""
    return family_of_config(config).layers(config)


def counts_from_padding(config: Any) -> bool:
    """Whether positions begin after the id of the padding token (RoBERTa and its relatives)."""
    return family_of_config(config).position_offset in (_after_padding, _after_first_two)


def counted_from(config: Any) -> int | None:
    """The word-piece that such a family does not count, and the row before its first position; None of others."""
    return family_of_config(config).position_offset(config) - 1 if counts_from_padding(config) else None


def usable_positions(config: Any) -> int:
    """Longest input that the position embeddings serve."""
    return int(config.max_position_embeddings) - family_of_config(config).position_offset(config)
