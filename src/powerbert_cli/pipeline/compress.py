"""The compressed model: the fine-tuned one with what `compress.*` removes, or as it is."""

import hashlib
import logging
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import torch
from transformers import PreTrainedModel

from ..bench.cost import EncoderShape, encoder_flops
from ..compress.layers import taken
from ..compress.neurons import How, fewer_neurons
from ..encoder.families import family_of_config, layers_of
from ..encoder.removing import NotRemovable, check_removable, keep_layers
from ..errors import PowerbertError
from ..method.pruning import width_for
from ..settings import CompressSettings
from ..store.compression_file import Compression
from ..store.model_dir import save_model_dir
from ..store.stages import Stage
from ..tasks.batches import make_batches
from .finetune import finetuned
from .record import Record
from .work import Start, Work

log = logging.getLogger(__name__)
_MULTIPLE = 16  # of which a layer's neurons are, so that matrix products keep their speed


@dataclass(frozen=True, kw_only=True)
class CompressRecord(Record):
    """
    Attributes:
        start: content of the fine-tuned model. train: content of the texts that are seen, without their labels; empty
            where none are.
        options: what is removed and how.
    """

    STAGE: ClassVar[str] = "compress"

    start: str
    options: dict[str, Any]


def compress(settings: CompressSettings, work: Work[CompressSettings] | None = None) -> Stage:
    """Removes what the settings name of the fine-tuned model, or finds that it is done.

    Raises:
        PowerbertError: nothing is to be removed.
    """
    if not settings.compress.given:
        raise PowerbertError("compress removes nothing: give compress.flops=0.6, compress.ffn=0.4 or compress.layers=6")
    stage = compressed(work or Work(settings), settings.fresh).stage
    assert stage is not None
    return stage


def compressed(work: Work[CompressSettings], fresh: bool = False) -> Start:
    """What search and re-training start from."""
    if work.compressed is None:
        work.compressed = _start(work, fresh) if work.settings.compress.given else finetuned(work)
    return work.compressed


def _start(work: Work[CompressSettings], fresh: bool) -> Start:
    options, texts = work.settings.compress, ""
    if options.narrows:
        texts = hashlib.sha256(repr(_calibration(work)["input_ids"][:]).encode()).hexdigest()[:16]
    record = CompressRecord(
        **{**work.common(), "train": texts}, start=finetuned(work).identity, options=options.decides()
    )
    stage = work.ensure(record, partial(_make, work), fresh)
    return Start(stage.model_dir, stage)


def _calibration(work: Work[CompressSettings]) -> datasets.Dataset:
    """The training texts that are seen, drawn with seed."""
    train, count = work.material.train, work.settings.compress.examples
    return train.select(np.random.default_rng(work.settings.seed).permutation(len(train))[:count])


def _make(work: Work[CompressSettings], result: Path, checkpoints: Path) -> None:
    options, host = work.settings.compress, work.host(finetuned(work).model_dir)
    sizes, before = Sizes.of(work, host.config), host.num_parameters()
    if options.layers is not None:
        log.info("compress: layers %s of %d", ", ".join(str(i + 1) for i in sizes.kept), sizes.shape.layers)
        keep_layers(host, sizes.kept)
    keep = sizes.neurons_for(options)
    if options.narrows:
        log.info("compress: %d of %d feed-forward neurons of each layer, by %s", keep, sizes.neurons, options.score)
        _narrow(work, host, sizes, keep)
    save_model_dir(result / "model", host.cpu(), work.tokenizer)
    parameters, neurons = (before, host.num_parameters()), (sizes.neurons, keep)
    made = Compression(sizes.shape.layers, sizes.kept, neurons, sizes.share(keep), parameters, options.decides())
    made.write(result / "model")


def _narrow(work: Work[CompressSettings], host: PreTrainedModel, sizes: "Sizes", keep: int) -> None:
    """Leaves each layer `keep` neurons."""
    settings, options = work.settings, work.settings.compress
    pad = work.material.collator("max")
    batches = make_batches(list(_calibration(work)), "sorted", settings.batch_size, pad, work.device, settings.seq_len)
    torch.nn.Module.to(host, work.device)
    how = How(options.score, options.tune, options.steps, options.stop)
    begun = sizes.share(sizes.neurons)
    half_way = sizes.within(begun * math.sqrt(sizes.share(keep) / begun))
    fewer_neurons(host, batches, settings.seq_len, keep, how, half_way)


def check_compressible(work: Work[CompressSettings], config: Any) -> None:
    """
    Args:
        config: of the model that will be compressed.

    Raises:
        PowerbertError: it cannot be, or not so far.
    """
    layers, options = layers_of(config), work.settings.compress
    try:
        check_removable(config, options.layers is not None, options.narrows)
    except NotRemovable as error:
        raise PowerbertError(f"{error}; leave compress.layers, compress.ffn and compress.flops at null") from error
    if options.layers is not None and options.layers > layers:
        raise PowerbertError(f"compress.layers={options.layers}: the model has {layers}; set fewer, or null for all")
    Sizes.of(work, config).neurons_for(options)


@dataclass(frozen=True)
class Sizes:
    """What a model costs by its layers and feed-forward neurons, on the real lengths of the training inputs.

    Attributes:
        shape: of the whole model. neurons: of a layer of it.
        kept: layers that are left, 0-based.
        lengths: of the inputs; none where nothing asks for them.
    """

    shape: EncoderShape
    neurons: int
    kept: tuple[int, ...]
    lengths: Counter[int]

    @classmethod
    def of(cls, work: Work[CompressSettings], config: Any) -> "Sizes":
        options, layers = work.settings.compress, layers_of(config)
        neurons = int(getattr(config, family_of_config(config).neurons_key))
        kept = taken(layers, options.layers or layers, options.take if options.layers else "first")
        return cls(EncoderShape.of(config), neurons, kept, Counter(work.material.train["length"]))

    def cost(self, neurons: int, layers: int | None = None) -> float:
        wide = self.shape.feed_forward * neurons / self.neurons
        shape = replace(self.shape, feed_forward=wide, layers=layers or len(self.kept))
        return sum(count * encoder_flops(shape, n) for n, count in self.lengths.items())

    def share(self, neurons: int) -> float:
        """Of the whole model's FLOPs."""
        return self.cost(neurons) / self.cost(self.neurons, self.shape.layers)

    def within(self, share: float) -> int:
        """The most neurons within a share of the whole model's FLOPs."""
        whole, each = self.cost(self.neurons, self.shape.layers), self.cost(self.neurons)
        return width_for(share * whole / each, self.cost, self.neurons, _MULTIPLE)

    def neurons_for(self, options: Any) -> int:
        if options.ffn is not None:
            wanted = options.ffn * self.neurons
            return max(1, round(wanted / _MULTIPLE) * _MULTIPLE if wanted >= _MULTIPLE else round(wanted))
        if options.flops is None:
            return self.neurons
        try:
            return min(self.neurons, self.within(options.flops))
        except ValueError as error:
            least = math.ceil(1000 * self.share(0)) / 1000
            raise PowerbertError(
                f"compress.flops={options.flops:g}: without any feed-forward neuron it still costs {least:g}; set a "
                "larger share"
            ) from error
