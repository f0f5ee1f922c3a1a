"""Where BERT and its nearest relatives keep the parts of their blocks: RoBERTa, XLM-R, ELECTRA, ALBERT."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from .block import Block, PostNormBlock
from .family import Family, Reads, after_padding, heads, sequence_head

# BERT, RoBERTa and those with the same block


def heads_and_size(query: Any, config: Any) -> dict[str, Any]:
    """Of a block: as many as its query has outputs for."""
    size = config.hidden_size // config.num_attention_heads
    return {"heads": query.out_features // size, "head_size": size}


def beside_attention(layer: Any, config: Any) -> dict[str, Any]:
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
        **heads_and_size(attention.self.query, config),
        **beside_attention(layer, config),
    )


def _bert_blocks(base: str, host: Any) -> tuple[Block, ...]:
    return tuple(_bert_block(layer, host.config) for layer in getattr(host, base).encoder.layer)


def bert_stack(base: str, host: Any) -> nn.ModuleList:
    return getattr(host, base).encoder.layer


def _bert_embed(base: str, host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return getattr(host, base).embeddings(input_ids=ids, token_type_ids=types, position_ids=positions)


def pooled_head(base: str, host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.dropout(getattr(host, base).pooler(hidden)))


BERT = Family(
    embed=partial(_bert_embed, "bert"),
    blocks=partial(_bert_blocks, "bert"),
    heads=heads(partial(pooled_head, "bert"), partial(pooled_head, "bert")),
    stack=partial(bert_stack, "bert"),
)
ROBERTA = Family(
    embed=partial(_bert_embed, "roberta"),
    blocks=partial(_bert_blocks, "roberta"),
    heads=heads(sequence_head, partial(pooled_head, "roberta")),
    position_offset=after_padding,
    stack=partial(bert_stack, "roberta"),
)

# ELECTRA


def _electra_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    embedded = _bert_embed("electra", host, ids, types, positions)
    return host.electra.embeddings_project(embedded) if hasattr(host.electra, "embeddings_project") else embedded


def _electra_choice(host: Any, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return host.classifier(host.sequence_summary(hidden))


def _electra_reads(config: Any) -> Reads:
    return "first" if config.summary_type == "first" else "mean"


ELECTRA = Family(
    _electra_embed,
    partial(_bert_blocks, "electra"),
    heads(sequence_head, _electra_choice, choose_reads=_electra_reads),
    stack=partial(bert_stack, "electra"),
)

# ALBERT: the layers of a group share their weights


def _albert_embed(host: Any, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
    return host.albert.encoder.embedding_hidden_mapping_in(_bert_embed("albert", host, ids, types, positions))


def _albert_block(layer: Any, config: Any) -> Block:
    attention = layer.attention
    return PostNormBlock(
        **heads_and_size(attention.query, config),
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


ALBERT = Family(
    _albert_embed,
    _albert_blocks,
    heads(_albert_head, _albert_head),
    layers=lambda config: config.num_hidden_layers * config.inner_group_num,
    whole="its layers share their weights",
    cuts=lambda config: config.num_hidden_groups == 1,
)
