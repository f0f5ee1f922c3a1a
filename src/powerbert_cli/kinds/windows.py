"""Texts longer than ℓ in windows that overlap, so that no word is cut off."""

from collections.abc import Sequence
from typing import Any


def windows_of(
    texts: Sequence[Any], tokenizer: Any, seq_len: int | None, stride: int | None, **how: Any
) -> dict[str, list[Any]]:
    """Texts to windows of at most ℓ word-pieces.

    Args:
        texts: of which long ones become several windows; with `pairs` of the tokenizer's `text_pair`.
        stride: word-pieces by which windows overlap; None for a quarter of ℓ.
        how: for the tokenizer beside that.

    Returns:
        What the tokenizer gives, offset_mapping too, `row` (which text each window is of), `length`, and of pairs
        `part`: of each word-piece 0 or 1 for the text that it is of, None for special ones.
    """
    if not tokenizer.is_fast:
        raise TypeError(f"{type(tokenizer).__name__} does not say where its word-pieces stand; take a fast tokenizer")
    how = {"truncation": False, **how} if seq_len is None else {"truncation": True, "max_length": seq_len, **how}
    if seq_len is not None:
        room = seq_len - tokenizer.num_special_tokens_to_add(pair="text_pair" in how)
        how["stride"] = max(0, min(seq_len // 4 if stride is None else stride, room - 1))
    found = tokenizer(list(texts), return_overflowing_tokens=True, return_offsets_mapping=True, verbose=False, **how)
    windows: dict[str, list[Any]] = {name: list(values) for name, values in found.items()}
    windows["row"] = windows.pop("overflow_to_sample_mapping")
    windows["length"] = [len(ids) for ids in windows["input_ids"]]
    if "text_pair" in how:
        windows["part"] = [found.sequence_ids(window) for window in range(len(windows["row"]))]
    return windows


def rows_of(windows: Any) -> list[list[int]]:
    """The windows of each row, from their column `row`; rows without a window are left out."""
    found: dict[int, list[int]] = {}
    for window, row in enumerate(windows):
        found.setdefault(int(row), []).append(window)
    return list(found.values())
