"""What models are called with, as the encoder takes it.

Legend: B inputs, C choices of each, N word-pieces.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .family import PICTURES, SOUND, WORDS


def real_mask(attention_mask: Tensor | None) -> Tensor | None:
    """The mask as bool, or None if it is known that nothing is padded.

    An input without any word-piece, as servers fill up batches with, counts as one of its first: it has an answer
    then, where an average over nothing has none.

    Raises:
        ValueError: an input is padded on the left.
    """
    if attention_mask is None:
        return None
    mask = attention_mask.bool()
    empty = ~mask.any(dim=-1, keepdim=True)
    mask = torch.cat([mask[:, :1] | empty, mask[:, 1:]], dim=-1)
    if torch.compiler.is_compiling():
        return mask
    if bool(mask.all()):
        return None
    if not bool(mask[:, 0].all()):
        raise ValueError("attention_mask: an input begins with padding; pad on the right (padding_side='right')")
    return mask


NAMES = (WORDS, PICTURES, SOUND)  # of which a batch has one


def main_input(batch: Mapping[str, Any]) -> Any:
    """Of a batch what is no mask and no type: word-pieces, pictures or sound."""
    return next(batch[name] for name in NAMES if name in batch)


def input_of(takes: str, input_ids: Tensor | None, signals: Mapping[str, Tensor | None]) -> Tensor:
    """The one input of a call: the first argument, or the one that is called as the model calls it.

    Args:
        takes: what the model calls it.

    Raises:
        ValueError: none or several are given, or one of another kind.
    """
    named = {name: value for name, value in signals.items() if value is not None}
    if input_ids is not None and not named:
        return input_ids
    if input_ids is None and set(named) == {takes}:
        return named[takes]
    found = ", ".join([*(() if input_ids is None else (WORDS,)), *named]) or "nothing"
    raise ValueError(f"this model is called with {takes}, and was given {found}")


def flat(given: Any) -> Any:
    """(B, C, N) of a multiple choice → (B · C, N); all else as it is."""
    return given.flatten(0, 1) if given is not None and given.dim() == 3 else given
