"""Texts to word-pieces."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import datasets
import numpy as np
from transformers import BertTokenizer, PreTrainedTokenizerBase

from .cache import writing

SEQ_LENS = (64, 128, 256, 512)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def texts_of(rows: datasets.Dataset) -> Iterable[str]:
    """Every text of the rows: first and second ones, and choices."""
    for name in ("text", "text_pair"):
        if name in rows.column_names:
            yield from rows[name]
    if "choices" in rows.column_names:
        for choices in rows["choices"]:
            yield from choices


def build_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer for these texts: every character, then the most frequent words.

    Deterministic. Rarer words fall apart into characters, so that no text of the same
    alphabet needs [UNK].
    """
    # max_length and truncation are set per call; the pre-tokenizer is BERT's own.
    split = BertTokenizer(vocab={token: i for i, token in enumerate(SPECIAL)}).backend_tokenizer
    words: Counter[str] = Counter()
    for text in texts:
        normal = split.normalizer.normalize_str(text)
        words.update(word for word, _ in split.pre_tokenizer.pre_tokenize_str(normal))
    characters = sorted({char for word in words for char in word})
    entries = [*SPECIAL, *characters, *(f"##{char}" for char in characters)]
    known = set(entries)
    frequent = sorted((word for word in words if word not in known), key=lambda word: (-words[word], word))
    entries += frequent[: max(0, vocab_size - len(entries))]
    return BertTokenizer(vocab={token: i for i, token in enumerate(entries)})


def tokenize(rows: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, seq_len: int | None) -> datasets.Dataset:
    """Adds input_ids (at most ℓ, None for all), length and what else the tokenizer gives; drops the texts.

    Of a multiple choice each column has a list with one entry for each choice, and length is
    that of the longest.
    """
    columns = [name for name in ("text", "text_pair", "choices") if name in rows.column_names]

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if "choices" in columns:
            return _encode_choices(batch, tokenizer, seq_len)
        encoded = tokenizer(*(batch[name] for name in columns), **_cut(seq_len))
        encoded["length"] = [len(ids) for ids in encoded["input_ids"]]
        return dict(encoded)

    with writing():
        tokens = rows.map(encode, batched=True, remove_columns=columns)
    return tokens.rename_column("label", "labels") if "label" in tokens.column_names else tokens


def _cut(seq_len: int | None) -> dict[str, Any]:
    return {"truncation": seq_len is not None, "max_length": seq_len, "verbose": False}


def _encode_choices(
    batch: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, seq_len: int | None
) -> dict[str, list[Any]]:
    """(context, question and choice) for each choice; a cloze question has the choice in its gap."""
    contexts, questions = [], []
    counts = [len(choices) for choices in batch["choices"]]
    for context, question, choices in zip(batch["text"], batch["text_pair"], batch["choices"], strict=True):
        contexts += [context] * len(choices)
        questions += [
            question.replace("_", choice, 1) if "_" in question else f"{question} {choice}" for choice in choices
        ]
    flat = tokenizer(contexts, questions, **_cut(seq_len))
    nested: dict[str, list[Any]] = {name: [] for name in flat}
    start = 0
    for count in counts:
        for name, values in flat.items():
            nested[name].append(values[start : start + count])
        start += count
    nested["length"] = [max(map(len, ids)) for ids in nested["input_ids"]]
    return nested


def nearest_seq_len(lengths: Any) -> int:
    """ℓ by the paper's rule (section 4): the value of {64, 128, 256, 512} nearest to the 99th percentile.

    Args:
        lengths: word-pieces of each training input.
    """
    percentile = float(np.percentile(lengths, 99))
    return min(SEQ_LENS, key=lambda seq_len: abs(seq_len - percentile))
