"""Fewer attention heads, by the gradient of the loss: Head-Prune (Michel et al., 2019)."""

import logging
from collections.abc import Sequence

from transformers import PreTrainedModel

from ..encoder.removing import keep_heads, open_blocks
from ..method import pruning
from ..tasks.batch import Batch
from .sensitivity import by_loss

log = logging.getLogger(__name__)


def fewer_heads(
    host: PreTrainedModel,
    batches: Sequence[Batch],
    seq_len: int,
    keep: int,
    least: int = 0,
    rounds: int = 1,
    as_printed: bool = False,
) -> None:
    """Leaves a classifier its best heads, in place. Each layer's scores are divided by their norm.

    Args:
        host: on the device of the batches, in float32.
        batches: with labels.
        keep: heads of all layers together.
        least: that each layer keeps.
        rounds: equal steps in which heads go, with scores anew before each.
        as_printed: see `pruning.sensitivity`.

    Raises:
        NotRemovable
    """
    host.eval()
    begun = sum(block.heads for block in open_blocks(host))
    for r in range(1, rounds + 1):
        target = round(begun - (begun - keep) * r / rounds)
        scores = [own / own.norm().clamp(min=1e-30) for own in by_loss(host, batches, seq_len, "heads", as_printed)]
        for block, index in zip(open_blocks(host), pruning.of_all_layers(scores, target, least), strict=True):
            keep_heads(block, index.tolist())
    left = ", ".join(str(block.heads) for block in open_blocks(host))
    log.info("compress: heads that are left, by layer: %s", left)
