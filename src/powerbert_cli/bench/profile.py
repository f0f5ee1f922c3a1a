"""Where the time goes: each part of each layer of the plain and the shortened model, beside its roofline."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import pandas as pd
import torch
from torch import nn

from ..encoder.families import family_of
from ..encoder.parts import timed_by
from ..encoder.shortened import ShortenedModel
from ..tasks.batch import Batch
from .contenders import batch_cost
from .cost import Peaks
from .timing import synchronize

Key = tuple[int, str]  # layer from 1 (0: before the first, -1: after the last), part
REST = "rest"


class Clock:
    """Gives all time that passes to the part that is current."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: dict[Key, float] = defaultdict(float)
        self.layer = 0
        self._current: Key | None = None
        self._since = 0.0

    def switch(self, part: str | None) -> None:
        """From now on time belongs to `part` of the current layer; None stops."""
        synchronize(self.device)
        now = time.perf_counter()
        if self._current is not None:
            self.seconds[self._current] += now - self._since
        self._current = None if part is None else (self.layer, part)
        self._since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """For `encoder.parts.timed_by`."""
        if name == "project":
            self.layer += 1
        if name == "head":
            self.layer = -1
        self.switch(name)
        yield
        self.switch(REST)


@torch.inference_mode()
def profile(
    models: dict[str, nn.Module], batches: Sequence[Batch], rounds: int, device: str, peaks: Peaks, number_bytes: int
) -> pd.DataFrame:
    """Times all batches part by part, models taking turns.

    Args:
        models: plain (of transformers) and `ShortenedModel`s by name, on the device.

    Returns:
        One row for each model, layer and part, of all batches together: `seconds` (median over rounds, a part's
        launch and synchronisation included), `flops` and `roofline_s` (NaN for parts that the cost model leaves out).
    """
    taken: dict[str, list[dict[Key, float]]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, model in models.items():
            taken[name].append(_pass(model, batches, device))
    rows = []
    for name, model in models.items():
        costs = _costs(model, batches, peaks, number_bytes)
        runs = taken[name][1:]  # the first warms up
        for layer, part in runs[0]:
            flops, roofline = costs.get((layer, part), (None, None))
            seconds = median(run[layer, part] for run in runs)
            rows.append((name, layer, part, seconds, flops, roofline))
    return pd.DataFrame(rows, columns=["model", "layer", "part", "seconds", "flops", "roofline_s"])


def _pass(model: nn.Module, batches: Sequence[Batch], device: str) -> dict[Key, float]:
    clock = Clock(device)
    with timed_by(clock.part) if isinstance(model, ShortenedModel) else _hooked(model, clock):
        for batch in batches:
            clock.layer = 0
            clock.switch("embed")
            model(**batch)
            clock.switch(None)
    return dict(clock.seconds)


@contextmanager
def _hooked(host: Any, clock: Clock) -> Iterator[None]:
    """Tells the clock where transformers' own loop is, by hooks on the modules behind each part.

    What passes between the last projection and the output projection is attention. Layers may
    share their modules (ALBERT), so they are counted as they come.
    """
    blocks = family_of(host).blocks(host)
    with ExitStack() as stack:
        for parts in {id(block.host_parts()["project"][0]): block.host_parts() for block in blocks}.values():
            for name, modules in parts.items():
                for i, module in enumerate(modules):
                    before = _before(clock, name, begins=name == "project" and i == 0)
                    stack.callback(module.register_forward_pre_hook(before).remove)
                    if name == "project":
                        after = module.register_forward_hook(lambda *_: clock.switch("attention"))
                        stack.callback(after.remove)
        yield


def _before(clock: Clock, name: str, begins: bool) -> Any:
    def hook(*_: Any) -> None:
        clock.layer += begins
        clock.switch(name)

    return hook


def _costs(
    model: nn.Module, batches: Sequence[Batch], peaks: Peaks, number_bytes: int
) -> dict[Key, tuple[float, float]]:
    """FLOPs and roofline seconds by layer and part, of all batches."""
    found: dict[Key, tuple[float, float]] = {}
    for batch in batches:
        for layer, parts in enumerate(batch_cost(batch, model), 1):
            for part, cost in parts.items():
                flops, seconds = found.get((layer, part), (0.0, 0.0))
                found[layer, part] = flops + cost.flops, seconds + peaks.seconds(cost, number_bytes)
    return found
