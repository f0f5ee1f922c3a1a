"""The bits of a model's linear layers, given to it before it is re-trained."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from ..encoder.quantising import calibrated_clips, quantise_inputs, quantise_weights
from ..encoder.shortened import ShortenedModel
from ..settings import CompressOptions
from ..store.compression_file import Compression
from ..tasks.batches import draw_rows, make_batches
from .context import Context

log = logging.getLogger(__name__)
_BATCHES = 10  # that clips are calibrated on


def quantise(context: Context, options: CompressOptions, model: ShortenedModel) -> None:
    """Has the weights and inputs of a model's linear layers as `compress.bits` and its like say, in place.

    Masks are of the weights that the model has now; clips begin with what layers are given on some training texts.
    """
    host = model.host
    found = getattr(host, "compression", None) or Compression.nothing(host)
    log.info("bits: %s", ", ".join(f"{name} {value}" for name, value in options.decides_bits().items()))
    quantise_weights(host, options.bits, options.sparsity is not None, options.scales == "channel")
    if options.act_bits is not None:
        clips = calibrated_clips(host, options.act_bits, _run(context, model))
        quantise_inputs(host, clips)
        found = replace(found, clips=clips)
    host.compression = replace(found, bits=options.decides_bits())  # type: ignore[assignment]


def _run(context: Context, model: ShortenedModel) -> Iterator[Any]:
    """Runs the model on a few batches of training texts, drawn with seed."""
    settings, train = context.settings, context.material.train
    rows = [train[i] for i in draw_rows(len(train), _BATCHES * settings.batch_size, settings.seed)]
    model.to(context.device).eval()
    pad = context.material.collator("max")
    with torch.no_grad():
        for batch in make_batches(rows, "longest", settings.batch_size, pad, context.device, settings.seq_len):
            yield model(**batch)
