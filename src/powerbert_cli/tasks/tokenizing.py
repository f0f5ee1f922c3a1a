"""Texts to word-pieces."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import datasets
import numpy as np
from transformers import BertTokenizer, PreTrainedTokenizerBase

from ..kinds import Kind
from ..kinds.values import RowError
from .cache import writing
from .rows import DataError

SEQ_LENS = (64, 128, 256, 512)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def texts_of(rows: datasets.Dataset) -> Iterable[str]:
    """Every text of the rows: first and second ones, choices, words."""
    for name, feature in rows.features.items():
        of_list = isinstance(feature, datasets.List)
        if name == "label" or (feature.feature if of_list else feature) != datasets.Value("string"):
            continue
        for value in rows[name]:
            yield from value if of_list else [value]


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


def tokenize(rows: datasets.Dataset, kind: Kind, processor: Any, seq_len: int | None) -> datasets.Dataset:
    """Rows as a model takes them, see `Kind.encode`: of texts input_ids (at most ℓ, None for all), length, labels.

    Raises:
        DataError: a model of this ℓ cannot take a row.
    """

    def encode(batch: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        try:
            found = kind.encode(batch, processor, seq_len)
        except RowError as error:
            raise DataError(str(error)) from error
        if "row" in found:
            found["row"] = [numbers[row] for row in found["row"]]
        if kind.MEDIUM is not None:
            del found[kind.MEDIUM]
        return found

    with writing():
        how: Any = {"batched": True, "batch_size": kind.at_once(1000), "with_indices": True}
        found = rows.map(encode, remove_columns=rows.column_names, **how)
        # what a row holds of its medium stays where it is: a copy could be large
        media = [] if kind.MEDIUM is None else [rows.select_columns([kind.MEDIUM])]
        return datasets.concatenate_datasets([found, *media], axis=1) if media else found


def nearest_seq_len(lengths: Any) -> int:
    """ℓ by the paper's rule (section 4): the value of {64, 128, 256, 512} nearest to the 99th percentile.

    Args:
        lengths: word-pieces of each training input.
    """
    percentile = float(np.percentile(lengths, 99))
    return min(SEQ_LENS, key=lambda seq_len: abs(seq_len - percentile))
