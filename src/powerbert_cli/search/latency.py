"""The latency table of a device: how long a layer takes, by what it receives and lets go on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..bench.cost import LayerShape, shape_of
from ..bench.peaks import best_seconds
from ..encoder.attention import attend_for_first
from ..encoder.packing import packed
from ..encoder.rows import Rows
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Sizes
from ..method.retention import Lengths
from .budget import LatencyBudget, LatencyTable

_GRID = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_SECONDS = 0.05  # for each entry


def measure_latency(
    model: ShortenedModel, lengths: Sequence[int], batch_size: int, whole: ShortenedModel | None = None
) -> LatencyBudget:
    """Times the layers of a model, as it is placed and in its precision, at pairs of lengths; of equal ones the first.

    Args:
        lengths: word-vectors of the inputs that the budget is for.
        batch_size: inputs in a batch.
        whole: the model that shares are of, if it is another.
    """
    longest = max(lengths)
    grid = [n for n in _GRID if n < longest] + [longest]
    if len(grid) == 1:
        grid = [longest, 2 * longest]
    known: dict[LayerShape, LatencyTable] = {}

    def tables(of: ShortenedModel) -> list[LatencyTable]:
        shape = shape_of(of.host)
        for j, layer in enumerate(shape):
            if layer not in known:
                found = (table.tolist() for table in _measure(of, j, grid, batch_size))  # no tensors of inference mode
                known[layer] = LatencyTable(grid, *(torch.tensor(t, dtype=torch.float64) / batch_size for t in found))
        return [known[layer] for layer in shape]

    return LatencyBudget(tables(model), lengths, model.ends_in_first, None if whole is None else tables(whole))


@torch.inference_mode()
def _measure(model: ShortenedModel, j: int, grid: list[int], batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Seconds of a batch in layer j: (G, G), (G,), (G,), see `LatencyTable`."""
    block = model.blocks()[j]
    weight = next(model.parameters())

    def best(work: Callable[[], None]) -> float:
        return best_seconds(work, weight.device.type, _SECONDS)

    seconds, plain, first = torch.zeros(len(grid), len(grid)), torch.zeros(len(grid)), torch.zeros(len(grid))
    for a, n in enumerate(grid):
        vectors = torch.randn(batch_size * n, model.config.hidden_size, device=weight.device, dtype=weight.dtype)
        sizes = torch.full((batch_size,), n)
        rows = Rows(
            vectors,
            packed(Sizes(sizes, sizes), None, model.heads, weight.device),
            torch.arange(n, device=weight.device).repeat(batch_size),
            weights=torch.ones(batch_size * n, device=weight.device),
        )

        def layer(kept: int, rows: Rows = rows) -> None:
            lengths = (model.seq_len,) * j + (kept,) * (model.layers - j)  # it is this layer that drops
            with model.eliminating(replace(model.elimination, retention=Lengths(lengths))):
                after = model.attention_half(j, block, rows)
                block.feed_forward(after.vectors, False)

        def for_first(rows: Rows = rows) -> None:
            block.feed_forward(attend_for_first(block, rows, 0.0, False).vectors, False)

        for b, kept in enumerate(grid[: a + 1]):
            if kept < n:
                seconds[a, b] = best(lambda kept=kept: layer(kept))  # type: ignore[misc]
        plain[a] = seconds[a, a] = best(lambda: layer(model.seq_len))
        first[a] = best(for_first)
    return seconds, plain, first
