"""Which words of a text survive to which layer."""

from collections.abc import Sequence
from typing import Any

import torch

from ..encoder.families import sizes_in
from ..encoder.shortened import ShortenedModel
from ..tasks.batches import MODEL_INPUTS, Batch


@torch.inference_mode()
def layers_left(model: ShortenedModel, batch: Batch) -> list[list[int]]:
    """How many layers each word-piece of each input left, 0 … L."""
    sizes = sizes_in(model.config, batch)
    reached = torch.zeros(len(sizes), int(sizes.max()), dtype=torch.long)
    for positions in model.kept_positions(**batch):
        kept = positions.cpu().clamp(min=0)
        ones = (positions.cpu() >= 0).long()
        reached += torch.zeros_like(reached).scatter_reduce(1, kept, ones, "amax")
    return reached.tolist()


def words_left(
    model: ShortenedModel, tokenizer: Any, texts: Sequence[tuple[str, ...]], batch_size: int, device: Any
) -> list[list[dict[str, Any]]]:
    """Of each input, of one or two texts cut to ℓ, its words, each with the last layer that it reached."""
    model.to(device)
    found = []
    for start in range(0, len(texts), batch_size):
        few = texts[start : start + batch_size]
        columns = map(list, zip(*few, strict=True))
        encoding = tokenizer(*columns, truncation=True, max_length=model.seq_len, padding=True, verbose=False)
        batch = {name: torch.tensor(encoding[name], device=device) for name in MODEL_INPUTS if name in encoding}
        layers = layers_left(model, batch)
        found += [_words(encoding, i, few[i], left, tokenizer) for i, left in enumerate(layers)]
    return found


def _words(encoding: Any, i: int, texts: Sequence[str], layers: Sequence[int], tokenizer: Any) -> list[dict[str, Any]]:
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
