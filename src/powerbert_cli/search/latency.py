"""The latency table of a device: how long a layer takes, by what it receives and lets go on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..bench.peaks import best_seconds
from ..encoder.attention import WordVectors, attend_for_first
from ..encoder.shortened import ShortenedModel
from ..method.elimination import full
from .budget import LatencyBudget

_GRID = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_SECONDS = 0.05  # for each entry


def measure_latency(model: ShortenedModel, lengths: Sequence[int], batch_size: int) -> LatencyBudget:
    """Times the first layer of a model, as it is placed and in its precision, at pairs of lengths.

    Args:
        lengths: word-vectors of the inputs that the budget is for.
        batch_size: inputs in a batch.
    """
    longest = max(lengths)
    grid = [n for n in _GRID if n < longest] + [longest]
    if len(grid) == 1:
        grid = [longest, 2 * longest]
    tables = (part.tolist() for part in _measure(model, grid, batch_size))  # no tensors of inference mode
    seconds, plain, first = (torch.tensor(part, dtype=torch.float64) / batch_size for part in tables)
    return LatencyBudget(grid, seconds, plain, first, lengths, model.layers, model.ends_in_first)


@torch.inference_mode()
def _measure(model: ShortenedModel, grid: list[int], batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Seconds of a batch: (G, G), (G,), (G,), see `LatencyBudget`."""
    whole, block = full(model.elimination), model.blocks()[0]
    weight = next(model.parameters())

    def best(work: Callable[[], None]) -> float:
        return best_seconds(work, weight.device.type, _SECONDS)

    seconds, plain, first = torch.zeros(len(grid), len(grid)), torch.zeros(len(grid)), torch.zeros(len(grid))
    for a, n in enumerate(grid):
        vectors = torch.randn(batch_size, n, model.config.hidden_size, device=weight.device, dtype=weight.dtype)
        positions = torch.arange(n, device=weight.device).expand(batch_size, n)
        state = WordVectors(vectors, positions=positions, weights=torch.ones(batch_size, n, device=weight.device))

        def layer(kept: int, state: WordVectors = state) -> None:
            lengths = (kept,) * model.layers
            with model.eliminating(replace(whole, kind="absolute", fractions=None, lengths=lengths)):
                after = model.attention_half(0, block, state)
                block.feed_forward(after.vectors, False)

        def for_first(state: WordVectors = state) -> None:
            block.feed_forward(attend_for_first(block, state, False).vectors, False)

        for b, kept in enumerate(grid[: a + 1]):
            if kept < n:
                seconds[a, b] = best(lambda kept=kept: layer(kept))  # type: ignore[misc]
        plain[a] = seconds[a, a] = best(lambda: layer(model.seq_len))
        first[a] = best(for_first)
    return seconds, plain, first
