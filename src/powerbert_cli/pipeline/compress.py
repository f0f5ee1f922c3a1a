"""The compressed model: the fine-tuned one with what `compress.*` removes, or as it is."""

import copy
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

from ..bench.cost import EncoderShape, encoder_flops, shape_of_config
from ..compress.heads import fewer_heads
from ..compress.layers import taken
from ..compress.neurons import How, fewer_neurons
from ..encoder.families import family_of_config, layers_of
from ..encoder.removing import NotRemovable, check_removable, fits_config, keep_layers, sizes_of
from ..errors import PowerbertError
from ..method.pruning import width_for
from ..settings import CompressOptions, CompressSettings
from ..store.compression_file import Compression
from ..store.model_dir import save_model_dir
from ..store.stages import Stage
from ..tasks.batches import Batch, make_batches
from .finetune import finetuned
from .record import Record
from .work import Start, Work

log = logging.getLogger(__name__)
_MULTIPLE = 16  # of which a layer's neurons are, so that matrix products keep their speed


@dataclass(frozen=True, kw_only=True)
class CompressRecord(Record):
    """
    Attributes:
        start: content of the fine-tuned model. train: content of the texts that are seen, with their labels where
            those are read; empty where no text is.
        options: what is removed and how.
    """

    STAGE: ClassVar[str] = "compress"

    start: str
    options: dict[str, Any]


def compress(settings: CompressSettings, work: Work[CompressSettings] | None = None) -> Stage:
    """Removes what the settings name of the fine-tuned model, or finds that it is done."""
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
    if options.narrows or options.removes_heads:
        rows = _calibration(work)
        seen: list[Any] = [rows["input_ids"][:], *([rows["labels"][:]] if options.reads_labels else [])]
        texts = hashlib.sha256(repr(seen if options.reads_labels else seen[0]).encode()).hexdigest()[:16]
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
    settings, options, start = work.settings, work.settings.compress, finetuned(work)
    host = work.host(start.model_dir)
    if not fits_config(host):
        raise PowerbertError(
            f"model_dir={settings.model_dir}: its layers differ in heads or neurons already; give the model that it "
            "was made of, and all that is to be removed in one command"
        )
    sizes, before = Sizes.of(work, host.config), host.num_parameters()
    if options.cuts:
        log.info("compress: layers %s of %d", ", ".join(str(i + 1) for i in sizes.kept), len(sizes.whole))
        keep_layers(host, sizes.kept)
    whole, batches = host, _batches(work) if options.narrows or options.removes_heads else []
    if options.removes_heads:
        whole, keep = copy.deepcopy(host), sizes.heads_for(options)
        log.info("compress: %d of %d heads by the gradient of the loss", keep, sizes.heads * len(sizes.kept))
        torch.nn.Module.to(host, work.device)
        printed = options.head_score == "paper"
        fewer_heads(host, batches, settings.seq_len, keep, options.least_heads, options.rounds, printed)
        sizes = replace(sizes, heads_left=keep)
    neurons = sizes.neurons_for(options)
    if options.narrows:
        where = "of all layers" if options.widths == "layer" else "of each layer"
        log.info("compress: %d of %d feed-forward neurons %s, by %s", neurons, sizes.neurons, where, options.score)
        _narrow(work, host, whole, sizes, neurons, batches)
    host = host.cpu()
    host.compression = Compression(  # type: ignore[assignment]
        len(sizes.whole),
        sizes.kept,
        (sizes.neurons, max(size.neurons for size in sizes_of(host))),
        sizes.share(neurons, options),
        (before, host.num_parameters()),
        options.decides(),
        sizes=() if fits_config(host) else sizes_of(host),
    )
    save_model_dir(result / "model", host, work.tokenizer)


def _batches(work: Work[CompressSettings]) -> list[Batch]:
    """The texts that are seen, the longest first, with their labels."""
    settings, rows = work.settings, sorted(_calibration(work), key=lambda row: -row["length"])
    pad = work.material.collator("max")
    batches = make_batches(rows, "sorted", settings.batch_size, pad, work.device, settings.seq_len)
    if settings.compress.reads_labels:
        labels = [row["labels"] for row in rows]
        for batch, start in zip(batches, range(0, len(rows), settings.batch_size), strict=True):
            batch["labels"] = torch.tensor(labels[start : start + settings.batch_size], device=work.device)
    return batches


def _narrow(
    work: Work[CompressSettings],
    host: PreTrainedModel,
    whole: PreTrainedModel,
    sizes: "Sizes",
    keep: int,
    batches: list[Batch],
) -> None:
    """Leaves the layers `keep` neurons, so that they write what those of the whole model write."""
    settings, options = work.settings, work.settings.compress
    for one in (host, whole):
        torch.nn.Module.to(one, work.device)
    by_layer = options.widths == "layer"
    how = How(options.score, options.tune, options.steps, options.stop, by_layer, sizes.multiple)
    begun = sizes.share(sizes.neurons_of_all(options), options)
    half_way = sizes.within(begun * math.sqrt(sizes.share(keep, options) / begun), options)
    fewer_neurons(host, batches, settings.seq_len, keep, how, half_way, None if whole is host else whole)


def check_compressible(work: Work[CompressSettings], config: Any) -> None:
    """
    Args:
        config: of the model that will be compressed.

    Raises:
        PowerbertError: it cannot be, or not so far.
    """
    layers, options = layers_of(config), work.settings.compress
    try:
        check_removable(config, options.cuts, options.narrows or options.removes_heads)
    except NotRemovable as error:
        raise PowerbertError(
            f"{error}; leave compress.layers, compress.heads and compress.ffn at null, and with retention=full and in "
            "powerbert compress target.flops too"
        ) from error
    if options.layers is not None and options.layers > layers:
        raise PowerbertError(f"compress.layers={options.layers}: the model has {layers}; set fewer, or null for all")
    if options.removes_heads and not options.least_heads and work.settings.ranks_by_attention:
        raise PowerbertError(
            "compress.least_heads=0 may leave a layer without heads, whose attention would say which word-vectors to "
            "drop; set compress.least_heads=1, or retention=full to keep all word-vectors"
        )
    sizes = Sizes.of(work, config)
    if options.removes_heads:
        sizes = replace(sizes, heads_left=sizes.heads_for(options))
    sizes.neurons_for(options)


def _layers_for(options: CompressOptions, layers: int) -> int:
    """How many layers are kept: each costs the same."""
    if not options.cuts:
        return layers
    if options.layers is not None:
        return options.layers
    assert options.flops is not None
    keep = math.floor(options.flops * layers + 1e-9)
    if not keep:
        raise PowerbertError(
            f"target.flops={options.flops:g}: one layer of {layers} costs {math.ceil(1000 / layers) / 1000:g}; set a "
            "larger share"
        )
    return keep


@dataclass(frozen=True)
class Sizes:
    """What a model costs by its layers, heads and feed-forward neurons, on the real lengths of the training inputs.

    Without elimination only the sums over layers count.

    Attributes:
        whole: the model before. heads, neurons: of a layer of it.
        kept: layers that are left, 0-based.
        heads_left: of all layers that are left.
        lengths: of the inputs.
    """

    whole: EncoderShape
    heads: int
    neurons: int
    kept: tuple[int, ...]
    heads_left: int
    lengths: Counter[int]

    @classmethod
    def of(cls, work: Work[CompressSettings], config: Any) -> "Sizes":
        options, layers, heads = work.settings.compress, layers_of(config), config.num_attention_heads
        neurons = int(getattr(config, family_of_config(config).neurons_key))
        kept = taken(layers, _layers_for(options, layers), options.take if options.cuts else "first")
        lengths = Counter(work.material.train["length"])
        return cls(shape_of_config(config), heads, neurons, kept, heads * len(kept), lengths)

    @property
    def multiple(self) -> int:
        """Of which numbers of neurons are multiples."""
        return _MULTIPLE if self.neurons >= _MULTIPLE else 1

    def cost(self, neurons: float, heads: float | None = None) -> float:
        """FLOPs of what is left, with so many neurons in each layer and heads in all."""
        attended = (self.heads_left if heads is None else heads) / (self.heads * len(self.kept))
        layers = (self.whole[i] for i in self.kept)
        return self._of(
            tuple(
                replace(
                    layer,
                    attended=layer.attended * attended,
                    feed_forward=layer.feed_forward * neurons / self.neurons,
                )
                for layer in layers
            )
        )

    def _of(self, shape: EncoderShape) -> float:
        return sum(count * encoder_flops(shape, n) for n, count in self.lengths.items())

    def neurons_of_all(self, options: CompressOptions) -> int:
        """All neurons, as `neurons_for` counts them."""
        return self.neurons * self._layers_counted(options)

    def _layers_counted(self, options: CompressOptions) -> int:
        return len(self.kept) if options.widths == "layer" else 1

    def share(self, neurons: float, options: CompressOptions) -> float:
        """Of the whole model's FLOPs, with neurons counted as `neurons_for` does."""
        return self.cost(neurons / self._layers_counted(options)) / self._of(self.whole)

    def within(self, share: float, options: CompressOptions) -> int:
        """The most neurons, counted as `neurons_for` does, within a share of the whole model's FLOPs.

        Raises:
            ValueError: there are none.
        """
        most, layers = self.neurons_of_all(options), self._layers_counted(options)
        return width_for(
            share * self._of(self.whole) / self.cost(self.neurons), lambda n: self.cost(n / layers), most, self.multiple
        )

    def neurons_for(self, options: CompressOptions) -> int:
        """Neurons that each layer keeps; with widths=layer all layers together."""
        most = self.neurons_of_all(options)
        if options.ffn is not None:
            return max(self.multiple, round(options.ffn * most / self.multiple) * self.multiple)
        if options.flops is None or options.reached_by != "ffn":
            return most
        try:
            return min(most, self.within(options.flops, options))
        except ValueError as error:
            least = math.ceil(1000 * self.share(0, options)) / 1000
            raise PowerbertError(
                f"target.flops={options.flops:g}: without any feed-forward neuron it still costs {least:g}; set a "
                "larger share"
            ) from error

    def heads_for(self, options: CompressOptions) -> int:
        """Heads that all layers together keep."""
        most, least = self.heads * len(self.kept), options.least_heads * len(self.kept)
        if options.heads is not None:
            keep, given = round(options.heads * most), f"compress.heads={options.heads:g}"
        else:
            assert options.flops is not None
            bare, full = self.cost(self.neurons, 0), self.cost(self.neurons, most)
            keep = math.floor((options.flops * self._of(self.whole) - bare) / (full - bare) * most + 1e-9)
            given = f"target.flops={options.flops:g}"
        if keep < max(least, 0):
            lowest = math.ceil(1000 * self.cost(self.neurons, least) / self._of(self.whole)) / 1000
            raise PowerbertError(
                f"{given} leaves {max(keep, 0)} of {most} heads, fewer than compress.least_heads={options.least_heads} "
                f"in each of {len(self.kept)} layers; so few still cost {lowest:g} of the FLOPs; set a larger share"
            )
        return min(keep, most)
