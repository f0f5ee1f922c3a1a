"""Fewer feed-forward neurons: KCM, which needs no labels, and what does better."""

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..encoder.attention import attend
from ..encoder.inputs import flat
from ..encoder.removing import keep_neurons, open_blocks, set_width
from ..encoder.rows import keep_all
from ..encoder.shortened import ShortenedModel
from ..method import pruning
from ..method.elimination import ByAttention, plain
from ..tasks.batches import Batch
from .sensitivity import by_loss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class How:
    """
    Attributes:
        score: r2d2, variance, magnitude or taylor. tune: refit, scale or none.
        steps, stop: of R2, see `pruning.r2`.
        by_layer: layers may keep different numbers: the best of all layers.
        multiple: by which these differ.
    """

    score: str
    tune: str
    steps: int = 1
    stop: str = "steps"
    by_layer: bool = False
    multiple: int = 1


class _Stream:
    """A model's word-vectors on the calibration texts, layer after layer."""

    def __init__(self, host: PreTrainedModel, batches: Sequence[Batch], seq_len: int) -> None:
        self.model = ShortenedModel(host, plain(seq_len, len(open_blocks(host)))).eval()
        inputs: list[dict[str, Any]] = [
            {name: flat(tensor) for name, tensor in batch.items() if name != "labels"} for batch in batches
        ]
        self.rows = [self.model.start(**given) for given in inputs]
        self.blocks = open_blocks(host)

    def attended(self, j: int) -> list[Tensor]:
        """What the feed-forward part of layer j receives, by batch."""
        self.rows = [attend(self.blocks[j], rows, keep_all, ByAttention(), 0.0, False) for rows in self.rows]
        return [rows.vectors for rows in self.rows]

    def advance(self, j: int) -> None:
        """Beyond the feed-forward part of layer j."""
        self.rows = [rows._replace(vectors=self.blocks[j].feed_forward(rows.vectors, False)) for rows in self.rows]

    def read(self, j: int, vectors: Sequence[Tensor]) -> Iterator[Tensor]:
        """Of something of each row those that are read after layer j: in the last one [CLS] alone, if the head does."""
        alone = self.model.ends_in_first and j == len(self.blocks) - 1
        for rows, one in zip(self.rows, vectors, strict=True):
            yield one[rows.packing.bounds(one.device)[0][:-1]] if alone else one


@torch.no_grad()
def fewer_neurons(
    host: PreTrainedModel,
    batches: Sequence[Batch],
    seq_len: int,
    keep: int,
    how: How,
    between: int | None = None,
    whole: PreTrainedModel | None = None,
) -> None:
    """Leaves the layers of a classifier their best neurons, in place; the config says so.

    Args:
        host: on the device of the batches, in float32.
        batches: texts, as `tasks.batches.make_batches` makes them; with labels for score=taylor.
        keep: neurons of each layer; with `how.by_layer` of all layers together.
        between: with tune=scale, neurons of the model that is imitated: one pruned half as far, as published.
        whole: with tune=refit, the model that is imitated; None for the host as it was.

    Raises:
        NotRemovable
    """
    host.eval()
    blocks = open_blocks(host)
    moments = _moments(host, batches, seq_len)
    if how.score == "taylor":
        scores = by_loss(host, batches, seq_len, "neurons")
    else:
        scores = [_scores(block.down.weight.T, own, how) for block, own in zip(blocks, moments, strict=True)]
    teacher = copy.deepcopy(host if whole is None or how.tune == "scale" else whole)
    if how.tune == "scale" and between is not None:
        for block, index in zip(open_blocks(teacher), _chosen(scores, between, how), strict=True):
            keep_neurons(block, index)
    for block, own, index in zip(blocks, moments, _chosen(scores, keep, how), strict=True):
        if how.score == "variance":
            _fold(block, own, index)
        keep_neurons(block, index)
    set_width(host)
    if how.tune != "none":
        _tune(host, teacher, batches, seq_len, how.tune)


def _chosen(scores: Sequence[Tensor], keep: int, how: How) -> list[Tensor]:
    """Of each layer the neurons that stay."""
    if how.by_layer:
        return pruning.of_all_layers(scores, keep, how.multiple, how.multiple)
    return [pruning.kept(own, keep) for own in scores]


def _moments(host: PreTrainedModel, batches: Sequence[Batch], seq_len: int) -> list[pruning.Moments]:
    """Of each layer's neurons over real word-pieces."""
    stream, found = _Stream(host, batches, seq_len), []
    for j, block in enumerate(stream.blocks):
        own = pruning.Moments.none(block.up.out_features)
        for vectors in stream.attended(j):
            own.add(block.active(vectors))
        stream.advance(j)
        found.append(own)
    return found


def _scores(w2: Tensor, moments: pruning.Moments, how: How) -> Tensor:
    if how.score == "r2d2":
        return pruning.by_r2d2(w2, moments, how.steps, how.stop)
    return pruning.by_variance(w2, moments) if how.score == "variance" else pruning.by_magnitude(w2)


def _fold(block: Any, moments: pruning.Moments, index: Tensor) -> None:
    """Adds what the dropped neurons give on average to the bias of the output."""
    down = block.down
    mean = moments.mean.to(down.weight)
    mean[index.to(mean.device)] = 0.0
    down.bias += down.weight @ mean


def _tune(host: PreTrainedModel, teacher: PreTrainedModel, batches: Sequence[Batch], seq_len: int, tune: str) -> None:
    """Layer by layer from below: what the kept neurons give is brought near to what the teacher's gave."""
    ours, theirs = _Stream(host, batches, seq_len), _Stream(teacher, batches, seq_len)
    for j, (block, other) in enumerate(zip(ours.blocks, theirs.blocks, strict=True)):
        given, wanted = ours.attended(j), theirs.attended(j)
        w2 = block.down.weight.T
        gram, cross = torch.zeros(len(w2), len(w2)).to(w2), torch.zeros_like(w2)
        for x, t in zip(ours.read(j, given), theirs.read(j, wanted), strict=True):
            h = block.active(x)
            target = t + other.down(other.active(t)) - x - block.down.bias
            gram += h.T @ h
            cross += h.T @ target
        if tune == "refit":
            block.down.weight.copy_(pruning.refitted(gram, cross, w2).T)
        else:
            found = pruning.scales(gram, cross, w2)
            if found is None:
                log.info(
                    "scale: layer %d has a scale beyond 10; as published, it and all after it stay as they are", j + 1
                )
                return
            block.down.weight.copy_((w2 * found.unsqueeze(-1)).T)
        ours.advance(j)
        theirs.advance(j)
