"""Batches of tokenised rows: in what order, how padded, and what is found in them back in the rows' own order.

Training, evaluation, prediction and timing take theirs from here.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import Sampler

from ..encoder.answered import logits_of
from ..kinds import Kind
from .batch import MEDIA, MODEL_INPUTS, Batch, OfSignals, is_of_signals, moved

_GIVEN = (*MODEL_INPUTS, *MEDIA)
Pad = Callable[..., Any]  # a collator of transformers: rows → tensors padded on the right


@dataclass(frozen=True)
class Material:
    """What a training reads: encoded rows (see `Kind.encode`) and how to batch them."""

    train: datasets.Dataset
    dev: datasets.Dataset
    processor: Any
    seq_len: int
    kind: Kind

    @property
    def labels(self) -> np.ndarray:
        """What metrics compare predictions of dev with, (n, …)."""
        return self.kind.labels(self.dev)

    def collator(self, padding: str) -> Pad:
        """padding: longest (of the batch) or max (ℓ)."""
        if padding == "max":
            return self.kind.collator(self.processor, padding="max_length", max_length=self.seq_len)
        return self.kind.collator(self.processor, padding="longest")


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


class InRowOrder:
    """Collects what batches in some order of the rows give, in the rows' own order.

    What is said of each word-piece is zero beyond the end of shorter inputs; the first batch has the longest. In one
    array from the start: small ones kept from each batch would pin the memory between them.

    Args:
        order: the row of each result, (n,).
    """

    def __init__(self, order: np.ndarray) -> None:
        self._order, self._filled = order, 0
        self.values = np.empty(0)

    def add(self, found: np.ndarray) -> None:
        """The next batch's results, (b, …)."""
        if self._filled == 0:
            self.values = np.zeros((len(self._order), *found.shape[1:]), found.dtype)
        place = self._order[self._filled : self._filled + len(found)]
        if found.shape[1:] == self.values.shape[1:]:
            self.values[place] = found
        else:  # for each word-piece, of shorter inputs
            self.values[place, : found.shape[1]] = found
        self._filled += len(found)


def restored(values: Any, order: np.ndarray) -> np.ndarray:
    """What was computed for the rows in this order, back in the rows' own."""
    values = np.asarray(values)
    back = np.empty_like(values)
    back[order] = values
    return back


def draw_rows(count: int, examples: int, seed: int) -> list[int]:
    """Indices of up to so many rows, drawn with a seed, in the order drawn."""
    drawn: list[int] = np.random.default_rng(seed).permutation(count)[:examples].tolist()
    return drawn


def choose_rows(count: int, examples: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the rows to time: whole batches, drawn with a seed, in the order drawn; repeated if there are too few.

    The first rows of a file may be its shortest, or of one class.
    """
    wanted = max(batch_size, examples // batch_size * batch_size)
    order = draw_rows(count, count, seed)
    return [order[i % count] for i in range(wanted)]


def bucket(length: int, octave: int) -> int:
    """The length that a model padded to few lengths pads to: so many from a power of two to the next, from 8 on.

    So an engine that compiles for each length does so a few times only. They are at least 4 apart.
    """
    if length <= 8:
        return 8
    below = 1 << ((length - 1).bit_length() - 1)
    step = max(below // octave, 4)
    return -(-length // step) * step


def make_batches(
    rows: Sequence[dict[str, Any]],
    padding: str,
    batch_size: int,
    pad: Pad,
    device: Any,
    seq_len: int | None = None,
    buckets: int = 0,
) -> list[Batch]:
    """Batches on the device.

    Args:
        rows: tokenised examples (what a collator makes inputs of).
        padding: max (as `pad` pads), longest (of the batch, rows in given order), packed (the same, for an encoder
            that takes the padding out again), sorted (by length, then as longest), or buckets (sorted, for an engine
            that compiles for each length).
        pad: to ℓ for max and for buckets.
        seq_len: no input is longer: ℓ, or less to cut; None cuts nothing.
        buckets: all but max pad on to the next `bucket` of so many an octave; 0 for none.

    Returns:
        Batches of the same rows whatever the padding; a batch without padding has no
        attention_mask, for every contender alike.
    """
    if padding in ("sorted", "buckets"):
        rows = sorted(rows, key=lambda row: row["length"], reverse=True)
    batches = []
    for start in range(0, len(rows), batch_size):
        few = rows[start : start + batch_size]
        given = [{name: row[name] for name in _GIVEN if name in row} for row in few]
        lengths = [row["length"] for row in few]
        how = {}
        if "samples" in few[0] and buckets and padding != "max":  # texts are padded to ℓ, and cut
            how["frames"] = min(bucket(max(lengths), buckets), seq_len or sys.maxsize)
        batch = {name: tensor for name, tensor in pad(given, **how).items() if name in MODEL_INPUTS}
        if is_of_signals(batch):
            batch = OfSignals(batch, lengths)
        else:
            batch = {name: tensor[..., :seq_len] for name, tensor in batch.items()}
            if padding != "max":
                longest = int(batch["attention_mask"].sum(dim=-1).max())
                length = bucket(longest, buckets) if buckets else longest
                batch = {name: tensor[..., :length] for name, tensor in batch.items()}
        if "attention_mask" in batch and bool(batch["attention_mask"].all()):
            del batch["attention_mask"]
        batches.append(moved(batch, device))
    return batches


def in_length_order(rows: datasets.Dataset, batch_size: int, pad: Pad, device: Any, **how: Any) -> Iterator[Batch]:
    """Tokenised rows in batches of the order of `by_length`; one batch is in memory at a time.

    Args: as of `make_batches`; `how` are its others, padding is longest unless given.
    """
    order, padding = by_length(rows), how.pop("padding", "longest")
    inputs = rows.select_columns([name for name in (*_GIVEN, "length") if name in rows.column_names])
    for start in range(0, len(order), batch_size):
        columns = inputs[order[start : start + batch_size]]
        given = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        yield from make_batches(given, padding, batch_size, pad, device, **how)


@dataclass(frozen=True)
class Answers:
    """What a model says of rows.

    Attributes:
        logits: (n, C) float32.
        first: [CLS] vectors of S hidden states, (n, S, D) float32 ((n, C, S, D) of a multiple choice); None if not
            asked for.
    """

    logits: np.ndarray
    first: np.ndarray | None = None


@torch.inference_mode()
def answers(
    model: Callable[..., Any], rows: datasets.Dataset, pad: Pad, batch_size: int, device: Any = "cpu", **how: Any
) -> Answers:
    """What a model says of tokenised rows, in length-sorted batches; in the order of the rows.

    Args:
        model: a classifier on the device, or any other way of running one (`bench.place.Runner`).
        how: states=(2, 4, -1) asks for the [CLS] vectors of these hidden states too; the others are those of
            `make_batches`.
    """
    wanted = how.pop("states", ())
    states = {"output_hidden_states": True} if wanted else {}
    if isinstance(model, torch.nn.Module):
        model.eval()
    order = by_length(rows)
    logits, vectors = InRowOrder(order), InRowOrder(order)
    for batch in in_length_order(rows, batch_size, pad, device, **how):
        output = model(**batch, **states)
        logits.add(_array(logits_of(output)))
        if states:
            vectors.add(_array(firsts(output, batch, wanted)))
    return Answers(logits.values, vectors.values if states else None)


def _array(values: Any) -> np.ndarray:
    return torch.as_tensor(values).float().cpu().numpy()


def firsts(output: Any, inputs: Batch, states: Sequence[int]) -> torch.Tensor:
    """[CLS] vectors of S hidden states of outputs that have them: (B, S, D), or (B, C, S, D) of a multiple choice."""
    found = torch.stack([output.hidden_states[i][:, 0] for i in states], dim=1)
    return found.unflatten(0, inputs["input_ids"].shape[:-1]) if "input_ids" in inputs else found
