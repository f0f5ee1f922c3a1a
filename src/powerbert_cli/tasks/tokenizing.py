"""Texts to word-pieces."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import datasets
from transformers import BertTokenizer, PreTrainedTokenizerBase

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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


def tokenize(rows: datasets.Dataset, tokenizer: PreTrainedTokenizerBase, seq_len: int) -> datasets.Dataset:
    """Adds input_ids (at most ℓ), length and, for pairs, token_type_ids; drops the texts."""
    columns = [name for name in ("text", "text_pair") if name in rows.column_names]

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        encoded = tokenizer(*(batch[name] for name in columns), truncation=True, max_length=seq_len)
        encoded["length"] = [len(ids) for ids in encoded["input_ids"]]
        return dict(encoded)

    return rows.map(encode, batched=True, remove_columns=columns).rename_column("label", "labels")
