"""From a shortened model and tokenised rows to measured contenders."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..encoder.shortened import ShortenedModel
from .batches import Batch, make_batches
from .flops import EncoderShape, encoder_flops
from .timing import Contender

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_contenders(
    model: ShortenedModel,
    rows: Sequence[dict[str, Any]],
    collate: dict[str, Callable[[list[dict[str, Any]]], Any]],
    engines: Sequence[str],
    paddings: Sequence[str],
    batch_size: int,
    precision: str,
    device: str,
) -> list[Contender]:
    """Plain and shortened contenders for each engine and padding.

    The plain contender is the shortened model's own host, as transformers runs it (speed does
    not depend on the weights, so one set of weights serves both).

    Args:
        model: put on the device, into the precision, and into evaluation mode.
        rows: tokenised examples; all contenders answer the same ones.
        collate: a collator for 'max' and one for 'longest'.

    Returns:
        The contenders; `compile` runs padded to ℓ only, as it would compile anew for each length.
    """
    model.to(device=device, dtype=DTYPES[precision]).eval()
    shape = EncoderShape.of(model.config)
    batches = {padding: make_batches(rows, padding, batch_size, collate, device) for padding in paddings}
    contenders = []
    for engine in engines:
        runs = {False: _run_by(engine, model.host), True: _run_by(engine, model)}
        for padding in paddings:
            if engine == "compile" and padding != "max":
                continue
            for shortened, run in runs.items():
                flops = _batches_flops(batches[padding], shape, model if shortened else None)
                contenders.append(Contender(shortened, engine, padding, run, batches[padding], flops))
    return contenders


def _batches_flops(batches: Sequence[Batch], shape: EncoderShape, model: ShortenedModel | None) -> float:
    """All batches, at the length that each is padded to; `model` None for the plain one."""
    total = 0.0
    for batch in batches:
        *rows, length = batch["input_ids"].shape
        lengths, merges = None, False
        if model is not None:
            lengths, merges = _lengths_in(batch, model), model.elimination.merges
        total += math.prod(rows) * encoder_flops(shape, length, lengths, merges)
    return total


def _lengths_in(batch: Batch, model: ShortenedModel) -> Sequence[int]:
    """Word-vectors that leave each layer: by the configuration, or as many as this batch keeps."""
    if model.elimination.strategy != "threshold":
        assert model.elimination.lengths is not None
        return model.elimination.lengths
    flat = {name: part.flatten(0, -2) for name, part in batch.items()}
    return [positions.shape[1] for positions in model.kept_positions(**flat)]


def _run_by(engine: str, model: torch.nn.Module) -> Callable[..., Any]:
    return torch.compile(model, dynamic=False) if engine == "compile" else model
