"""Where each Hugging Face model family keeps the parts of its blocks.

The only file that knows the insides of transformers' models. A family is an entry in
`FAMILIES`: how to embed, what the blocks are, how the head reads the last hidden states.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class BlockView:
    """The parts of one post-LayerNorm encoder block; holds no parameters of its own."""

    query: Layer
    key: Layer
    value: Layer
    output: Layer
    norm1: Layer
    up: Layer
    activation: Layer
    down: Layer
    norm2: Layer
    heads: int
    attention_dropout: float
    hidden_dropout: float


@dataclass(frozen=True)
class Family:
    """How the shortened encoder drives a host model of one family.

    Attributes:
        embed: (host, input_ids (B, N), token_type_ids or None) → (B, N, D).
        blocks: host → one view for each encoder layer.
        head: (host, last hidden states (B, K, D) with [CLS] at 0) → logits (B, C).
    """

    embed: Callable[[Any, Tensor, Tensor | None], Tensor]
    blocks: Callable[[Any], tuple[BlockView, ...]]
    head: Callable[[Any, Tensor], Tensor]


class UnsupportedModelError(ValueError):
    """The model's family has no entry here."""


def _bert_block(layer: Any, config: Any) -> BlockView:
    attention = layer.attention
    return BlockView(
        query=attention.self.query,
        key=attention.self.key,
        value=attention.self.value,
        output=attention.output.dense,
        norm1=attention.output.LayerNorm,
        up=layer.intermediate.dense,
        activation=layer.intermediate.intermediate_act_fn,
        down=layer.output.dense,
        norm2=layer.output.LayerNorm,
        heads=config.num_attention_heads,
        attention_dropout=config.attention_probs_dropout_prob,
        hidden_dropout=config.hidden_dropout_prob,
    )


def _bert_like(base: str, head: Callable[[Any, Tensor], Tensor]) -> Family:
    def embed(host: Any, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        return getattr(host, base).embeddings(input_ids=input_ids, token_type_ids=token_type_ids)

    def blocks(host: Any) -> tuple[BlockView, ...]:
        return tuple(_bert_block(layer, host.config) for layer in getattr(host, base).encoder.layer)

    return Family(embed, blocks, head)


def _pooled_head(host: Any, hidden: Tensor) -> Tensor:
    return host.classifier(host.dropout(host.bert.pooler(hidden)))


def _sequence_head(host: Any, hidden: Tensor) -> Tensor:
    return host.classifier(hidden)


FAMILIES: dict[str, Family] = {
    "bert": _bert_like("bert", _pooled_head),
    "roberta": _bert_like("roberta", _sequence_head),
}


def check_supported(model_type: str) -> None:
    """Raises UnsupportedModelError, with the list of the supported families."""
    if model_type not in FAMILIES:
        raise UnsupportedModelError(
            f"model type '{model_type}' is not supported; supported families: {', '.join(sorted(FAMILIES))}"
        )


def family_of(host: nn.Module) -> Family:
    """The entry for a loaded sequence-classification model."""
    model_type: str = host.config.model_type  # type: ignore[union-attr,assignment]
    check_supported(model_type)
    return FAMILIES[model_type]


def usable_positions(config: Any) -> int:
    """Longest input that the position embeddings serve.

    RoBERTa counts positions from padding_idx + 1, so two of its rows are never used.
    """
    offset = config.pad_token_id + 1 if config.model_type in {"roberta"} else 0
    return int(config.max_position_embeddings) - offset
