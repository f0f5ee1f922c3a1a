"""The model families that the shortened encoder drives.

The files named `…_hosts.py` alone know the insides of transformers' models: how a family embeds, what its blocks are,
how its heads read the last hidden states.

DeBERTa has no entry: its scores have terms of content against relative position that the fused
attention of this encoder cannot take as a bias, because they depend on query and key.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .bert_hosts import ALBERT, BERT, ELECTRA, ROBERTA
from .family import (
    CHOOSES,
    CLASSIFIES,
    EMBEDS,
    HEARS,
    PICTURES,
    PURPOSES,
    SEES,
    SOUND,
    WORDS,
    Family,
    Head,
    UnsupportedModelError,
    after_padding,
)
from .inputs import flat, main_input
from .other_hosts import DISTILBERT, MODERNBERT, MPNET, after_first_two
from .picture_hosts import DEIT, VIT
from .sound_hosts import HUBERT, WAV2VEC2

FAMILIES: dict[str, Family] = {
    "albert": ALBERT,
    "bert": BERT,
    "deit": DEIT,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "hubert": HUBERT,
    "modernbert": MODERNBERT,
    "mpnet": MPNET,
    "roberta": ROBERTA,
    "vit": VIT,
    "wav2vec2": WAV2VEC2,
    "xlm-roberta": ROBERTA,
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


def head_of(host: nn.Module) -> Head:
    """How a loaded model answers; of one without a head, or of another kind, as its family's classifiers do."""
    name = type(host).__name__
    known = family_of(host).heads
    return next((head for kind, head in known.items() if name.endswith(kind)), next(iter(known.values())))


def known_purpose(config: Any) -> str | None:
    """What a config's architecture is for, by transformers' name; None if it names none of `PURPOSES`.

    Classifiers of sound are …ForSequenceClassification too; their Auto class calls them ForAudioClassification.
    """
    named, family = config.architectures or (), FAMILIES.get(config.model_type)
    found = next((kind for kind in PURPOSES if any(name.endswith(kind) for name in named)), None)
    return HEARS if found == CLASSIFIES and family is not None and family.takes == SOUND else found


def purpose_of(config: Any) -> str:
    """The same; if there is none that of the classifiers of its family."""
    takes = FAMILIES[config.model_type].takes if config.model_type in FAMILIES else WORDS
    return known_purpose(config) or {WORDS: CLASSIFIES, PICTURES: SEES, SOUND: HEARS}[takes]


def known_problem(config: Any) -> str | None:
    """How far two answers of a model are apart: as transformers' problem_type says, or as vectors (embedding).

    Logits of one output are numbers, whatever they learn from.
    """
    if purpose_of(config) == EMBEDS:
        return "embedding"
    problem: str | None = config.problem_type
    return "regression" if problem == "multi_label_classification" and config.num_labels == 1 else problem


def is_choice_model(host: Any) -> bool:
    """Whether this classifier answers multiple choices."""
    return type(host).__name__.endswith(CHOOSES)


def is_multiple_choice(config: Any) -> bool:
    """Whether a model's config names a multiple-choice architecture."""
    return purpose_of(config) == CHOOSES


def layers_of(config: Any) -> int:
    """L: encoder layers, each of which can eliminate."""
    return family_of_config(config).layers(config)


def sizes_in(config: Any, batch: Mapping[str, Any]) -> Tensor:
    """Word-vectors of each input of a batch, without padding: (B,) int64; of a multiple choice (B · C,)."""
    given, mask, signal = flat(main_input(batch)), flat(batch.get("attention_mask")), family_of_config(config).signal
    if signal is not None:
        return signal.sizes(config, given, mask)
    return torch.full((len(given),), given.shape[1]) if mask is None else mask.expand(given.shape).sum(dim=-1)


def counted_in(config: Any, batch: Mapping[str, Any], length: int) -> Tensor | None:
    """Which word-vectors of a batch padded to a length are no padding, (B, N); None if all are."""
    mask = batch.get("attention_mask")
    if mask is None or family_of_config(config).signal is None:
        return mask
    sizes = sizes_in(config, batch)
    return torch.arange(length, device=sizes.device) < sizes[:, None]


def takes_of(config: Any) -> str:
    """What a model with this config calls its input: input_ids, pixel_values or input_values."""
    return family_of_config(config).takes


def counts_from_padding(config: Any) -> bool:
    """Whether positions begin after the id of the padding token (RoBERTa and its relatives)."""
    return family_of_config(config).position_offset in (after_padding, after_first_two)


def counted_from(config: Any) -> int | None:
    """The word-piece that such a family does not count, and the row before its first position; None of others."""
    return family_of_config(config).position_offset(config) - 1 if counts_from_padding(config) else None


def usable_positions(config: Any) -> int:
    """Longest input that the position embeddings serve."""
    family = family_of_config(config)
    return family.positions(config) - family.position_offset(config)
