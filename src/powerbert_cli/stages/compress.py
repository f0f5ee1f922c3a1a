"""The compressed model: the fine-tuned one without what `compress.*` removes."""

import copy
import hashlib
import logging
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import datasets
import torch
from transformers import PreTrainedModel

from ..compress.heads import fewer_heads
from ..compress.neurons import How, fewer_neurons
from ..compress.sizes import Sizes
from ..encoder.removing import fits_config, keep_layers, sizes_of
from ..errors import PowerbertError
from ..models.model_dir import save_model_dir
from ..settings import CompressOptions
from ..store.compression_file import Compression
from ..tasks.batch import Batch, inputs_in, padded_in
from ..tasks.batches import draw_rows, make_batches
from .context import Context
from .inputs import Given, Inputs, Making, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Compress(Inputs):
    """
    Attributes:
        start: the fine-tuned model.
        options: what is removed and how.
        train: content of the texts that are seen, with their labels where those are read, and under a share of FLOPs
            the lengths of all; empty where no text is read.
    """

    STAGE: ClassVar[str] = "compress"

    start: Source
    options: CompressOptions

    @classmethod
    def of(cls, context: Context, start: Source, options: CompressOptions) -> "Compress":
        texts = ""
        if options.reads_texts:
            rows = _seen(context, options)
            seen = [
                rows[context.settings.task.of_kind.MEDIUM or "input_ids"][:],
                *([rows["labels"][:]] if options.reads_labels else []),
            ]
            texts = hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
        if options.flops is not None:  # how much a share leaves depends on the lengths of all rows
            lengths = sorted(Counter(context.material.train["length"]).items())
            texts += hashlib.sha256(repr(lengths).encode()).hexdigest()[:16]
        return cls(**{**context.common(), "train": texts}, start=start, options=options)

    def make(self, making: Making) -> None:
        context, options, host = making.context, self.options, making.host(self.start)
        if not fits_config(host):
            given = self.start.model_dir if isinstance(self.start, Given) else self.start.identity
            raise PowerbertError(
                f"model_dir={given}: its layers differ in heads or neurons already; give the model that it "
                "was made of, and all that is to be removed in one command"
            )
        sizes, before = Sizes.of(options, host.config, context.material.train["length"]), host.num_parameters()
        if options.cuts:
            log.info("compress: layers %s of %d", ", ".join(str(i + 1) for i in sizes.kept), len(sizes.whole))
            keep_layers(host, sizes.kept)
        whole, batches = host, self._batches(context) if options.reads_texts else []
        if options.removes_heads:
            whole, keep = copy.deepcopy(host), sizes.heads_for(options)
            log.info("compress: %d of %d heads by the gradient of the loss", keep, sizes.heads * len(sizes.kept))
            torch.nn.Module.to(host, context.device)
            printed = options.head_score == "paper"
            fewer_heads(host, batches, self.seq_len, keep, options.least_heads, options.rounds, printed)
            sizes = replace(sizes, heads_left=keep)
        neurons = sizes.neurons_for(options)
        if options.narrows:
            where = "of all layers" if options.widths == "layer" else "of each layer"
            log.info("compress: %d of %d feed-forward neurons %s, by %s", neurons, sizes.neurons, where, options.score)
            self._narrow(host, whole, sizes, neurons, batches, context.device)
        host = host.cpu()
        host.compression = self._done(host, sizes, neurons, before)  # type: ignore[assignment]
        save_model_dir(making.result / "model", host, context.processor)

    def _done(self, host: PreTrainedModel, sizes: Sizes, neurons: int, before: int) -> Compression:
        """
        Args:
            before: parameters of the model that it was made of.
        """
        return Compression(
            len(sizes.whole),
            sizes.kept,
            (sizes.neurons, max(size.neurons for size in sizes_of(host))),
            sizes.share(neurons, self.options),
            (before, host.num_parameters()),
            self.options.decides(),
            sizes=() if fits_config(host) else sizes_of(host),
        )

    def _batches(self, context: Context) -> list[Batch]:
        """The texts that are seen, the longest first, with their labels."""
        size, rows = context.settings.batch_size, sorted(_seen(context, self.options), key=lambda row: -row["length"])
        pad = context.material.collator("max")
        batches = make_batches(rows, "sorted", size, pad, context.device, self.seq_len)
        if self.options.reads_labels:
            labels = [row["labels"] for row in rows]
            for batch, start in zip(batches, range(0, len(rows), size), strict=True):
                own = context.material.kind.batched(labels[start : start + size], padded_in(batch) // inputs_in(batch))
                batch["labels"] = torch.tensor(own, device=context.device)
        return batches

    def _narrow(
        self,
        host: PreTrainedModel,
        whole: PreTrainedModel,
        sizes: Sizes,
        keep: int,
        batches: list[Batch],
        device: str,
    ) -> None:
        """Leaves the layers `keep` neurons, so that they write what those of the whole model write."""
        options = self.options
        for one in (host, whole):
            torch.nn.Module.to(one, device)
        by_layer = options.widths == "layer"
        how = How(options.score, options.tune, options.steps, options.stop, by_layer, sizes.multiple)
        begun = sizes.share(sizes.neurons_of_all(options), options)
        half_way = sizes.within(begun * math.sqrt(sizes.share(keep, options) / begun), options)
        fewer_neurons(host, batches, self.seq_len, keep, how, half_way, None if whole is host else whole)


def _seen(context: Context, options: CompressOptions) -> datasets.Dataset:
    """The training texts that scores and tuning see, drawn with seed."""
    train = context.material.train
    return train.select(draw_rows(len(train), options.examples, context.settings.seed))
