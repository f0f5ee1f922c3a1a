"""How much a classifier's loss depends on each head and neuron: one pass over labelled texts, with gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..encoder.answered import examples_in, tag_loss
from ..encoder.families import head_of, sizes_in
from ..encoder.inputs import main_input
from ..encoder.removing import open_blocks
from ..encoder.shortened import ShortenedModel
from ..method import pruning
from ..method.elimination import plain
from ..tasks.batches import Batch


def by_loss(
    host: PreTrainedModel, batches: Sequence[Batch], seq_len: int, of: str, as_printed: bool = False
) -> list[Tensor]:
    """The scores of `pruning.sensitivity` over texts, each counting alike; without dropout.

    Where the head reads [CLS] alone, so does the last layer: there nothing else has a gradient.

    Args:
        host: on the device of the batches, in float32.
        batches: with labels.
        of: heads, or neurons.
        as_printed: see `pruning.sensitivity`.

    Returns:
        (H,) or (N,) for each layer.
    """
    model = ShortenedModel(host, plain(seq_len, len(open_blocks(host)))).eval()
    blocks = open_blocks(host)
    parts = [block.heads if of == "heads" else block.neurons for block in blocks]
    found = [torch.zeros(count, dtype=torch.float64) for count in parts]
    owner: list[Tensor] = []  # of this batch
    below: list[Any] = [blocks[0].query.weight, blocks[0].up.weight]  # so that the gradient goes through all layers

    def watch(j: int) -> Callable[[Any, tuple[Tensor, ...]], None]:
        def see(layer: Any, given: tuple[Tensor, ...]) -> None:
            values = given[0]

            def add(gradients: Tensor) -> None:
                rows = owner[0] if len(values) == len(owner[0]) else torch.arange(len(values), device=values.device)
                own = pruning.sensitivity(values.detach(), gradients, parts[j], rows if as_printed else None)
                found[j] += own

            values.register_hook(add)

        return see

    hooks = [
        (block.output if of == "heads" else block.down).register_forward_pre_hook(watch(j))
        for j, block in enumerate(blocks)
        if parts[j]
    ]
    try:
        with torch.enable_grad():
            for batch in batches:
                # in the order in which the encoder packs inputs: the longest first
                sizes = sizes_in(host.config, batch).sort(descending=True).values.to(main_input(batch).device)
                owner[:] = [torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)]
                output = model(**batch)
                labels = batch["labels"]
                count = examples_in(labels, output.logits) if head_of(host).loss is tag_loss else len(labels)
                torch.autograd.grad(output.loss * count, below, allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    return found
