"""Which words of a text survive to which layer."""

from collections.abc import Sequence
from typing import Any

import torch

from ..encoder.shortened import ShortenedModel
from ..tasks.batches import Batch


@torch.inference_mode()
def layers_left(model: ShortenedModel, batch: Batch) -> list[list[int]]:
    """How many layers each word-piece of each input left, 0 … L."""
    reached = torch.zeros(batch["input_ids"].shape, dtype=torch.long)
    for positions in model.kept_positions(**batch):
        kept = positions.cpu().clamp(min=0)
        ones = (positions.cpu() >= 0).long()
        reached += torch.zeros_like(reached).scatter_reduce(1, kept, ones, "amax")
    return reached.tolist()


def words_of(
    encoding: Any, i: int, texts: Sequence[str], layers: Sequence[int], tokenizer: Any
) -> list[dict[str, Any]]:
    """Each word of an input with its last layer; of a tokenizer that knows no words each word-piece.

    Args:
        encoding: of a batch of inputs, of which this is number i. texts: the input's one or two.
    """
    if not encoding.is_fast:
        pieces = tokenizer.convert_ids_to_tokens(encoding["input_ids"][i])
        return [{"word": piece, "layer": layer} for piece, layer in zip(pieces, layers, strict=False)]
    words: dict[tuple[int, int], int] = {}
    for part, word, layer in zip(encoding.sequence_ids(i), encoding.word_ids(i), layers, strict=False):
        if word is not None:
            words[part, word] = max(layer, words.get((part, word), 0))
    spans = {key: encoding.word_to_chars(i, key[1], key[0]) for key in words}
    return [
        {"word": texts[part][spans[part, word].start : spans[part, word].end], "layer": layer}
        for (part, word), layer in words.items()
    ]
