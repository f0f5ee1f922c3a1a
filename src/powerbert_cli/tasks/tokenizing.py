"""Texts to word-pieces."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import datasets
import numpy as np
from torch.utils.data import DataLoader, Sampler
from transformers import BertTokenizer, PreTrainedTokenizerBase

from .cache import writing

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
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


def lengths_of(rows: datasets.Dataset) -> np.ndarray:
    """Word-pieces of each tokenised row, (n,)."""
    return np.asarray(rows.with_format("numpy")["length"][:])


def by_length(rows: datasets.Dataset) -> np.ndarray:
    """Indices of tokenised rows, the longest first, of equal ones the earlier: the order of length-sorted batches."""
    return np.argsort(-lengths_of(rows), kind="stable")


class OrderSampler(Sampler[int]):
    """Rows in a given order, (n,) indices; a list of these integers would take five times the array's memory."""

    def __init__(self, order: np.ndarray) -> None:
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return map(int, self._order)


def sorted_batches(rows: datasets.Dataset, collate: Any, batch_size: int) -> Iterator[dict[str, Any]]:
    """The model inputs of tokenised rows in batches of the order of `by_length`; one batch is in memory at a time."""
    # transformers' collator of multiple choices insists on labels
    given = rows.select_columns([name for name in (*MODEL_INPUTS, "labels") if name in rows.column_names])
    for batch in DataLoader(given, sampler=OrderSampler(by_length(rows)), batch_size=batch_size, collate_fn=collate):
        yield {name: part for name, part in batch.items() if name in MODEL_INPUTS}


class InRowOrder:
    """Collects what batches in some order of the rows give, in the rows' own order.

    In one array from the start: small ones kept from each batch would pin the memory between them.

    Args:
        order: the row of each result, (n,).
    """

    def __init__(self, order: np.ndarray) -> None:
        self._order, self._filled = order, 0
        self.values = np.empty(0)

    def add(self, part: np.ndarray) -> None:
        """The next batch's results, (b, …)."""
        if self._filled == 0:
            self.values = np.empty((len(self._order), *part.shape[1:]), part.dtype)
        self.values[self._order[self._filled : self._filled + len(part)]] = part
        self._filled += len(part)


def restored(values: Any, order: np.ndarray) -> np.ndarray:
    """What was computed for the rows in this order, back in the rows' own."""
    values = np.asarray(values)
    back = np.empty_like(values)
    back[order] = values
    return back


def nearest_seq_len(lengths: Any) -> int:
    """ℓ by the paper's rule (section 4): the value of {64, 128, 256, 512} nearest to the 99th percentile.

    Args:
        lengths: word-pieces of each training input.
    """
    percentile = float(np.percentile(lengths, 99))
    return min(SEQ_LENS, key=lambda seq_len: abs(seq_len - percentile))
