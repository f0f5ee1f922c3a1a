"""The bits of a model's linear layers, given to it before it is re-trained."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..encoder.families import family_of_config
from ..encoder.quantising import calibrated_clips, quantise_inputs, quantise_weights
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.quantisation import GROUP
from ..settings import CompressSettings
from ..store.compression_file import Compression
from ..tasks.batches import make_batches
from .work import Work

log = logging.getLogger(__name__)
_BATCHES = 10  # that clips are calibrated on


def quantise(work: Work[CompressSettings], model: ShortenedModel) -> None:
    """Has the weights and inputs of a model's linear layers as `compress.bits` and its like say, in place.

    Masks are of the weights that the model has now; clips begin with what layers are given on some training texts.
    """
    options, host = work.settings.compress, model.host
    found = getattr(host, "compression", None) or Compression.nothing(host)
    log.info("bits: %s", ", ".join(f"{name} {value}" for name, value in options.decides_bits().items()))
    quantise_weights(host, options.bits, options.sparsity is not None, options.scales == "channel")
    if options.act_bits is not None:
        clips = calibrated_clips(host, options.act_bits, _run(work, model))
        quantise_inputs(host, clips)
        found = replace(found, clips=clips)
    host.compression = replace(found, bits=options.decides_bits())  # type: ignore[assignment]


def _run(work: Work[CompressSettings], model: ShortenedModel) -> Iterator[Any]:
    """Runs the model on a few batches of training texts, drawn with seed."""
    settings, train = work.settings, work.material.train
    drawn = np.random.default_rng(settings.seed).permutation(len(train))[: _BATCHES * settings.batch_size]
    rows = [train[int(i)] for i in drawn]
    model.to(work.device).eval()
    pad = work.material.collator("max")
    with torch.no_grad():
        for batch in make_batches(rows, "longest", settings.batch_size, pad, work.device, settings.seq_len):
            yield model(**batch)


def check_quantisable(work: Work[CompressSettings], config: Any) -> None:
    """
    Args:
        config: of the model that will be re-trained.

    Raises:
        PowerbertError: it cannot have what the settings ask for.
    """
    if work.settings.compress.sparsity is None:
        return
    for name in ("hidden_size", family_of_config(config).neurons_key):
        size = int(getattr(config, name))
        if size % GROUP:
            raise PowerbertError(
                f"compress.sparsity=2:4 needs layers of a multiple of {GROUP} inputs, the model has {name}={size}; set "
                "compress.sparsity=null"
            )
