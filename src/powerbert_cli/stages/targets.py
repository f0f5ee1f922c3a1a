"""What a search is to reach in place of a λ: a share of the plain model's cost, or a measured speed-up."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..bench.contenders import Field, build_contenders, models_of
from ..bench.cost import shape_of
from ..bench.place import DTYPES, Place
from ..bench.ratio import speedup
from ..bench.timing import measure, warm_up
from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import Elimination, plain
from ..search.budget import Budget, FlopsBudget
from ..search.latency import measure_latency
from ..search.space import Space
from ..settings import TargetSettings
from ..store.artifacts import write_json
from ..tasks.batches import choose_rows
from ..training.controller import Controller
from .context import Context

log = logging.getLogger(__name__)
_ATTEMPTS, _NEAR = 4, 0.02  # measurements of a target.speedup, and what counts as met
_EXAMPLES, _ROUNDS, _MAX_SECONDS = 128, 7, 60.0


class Unreachable(PowerbertError):
    """A target that no configuration reaches."""


@dataclass(frozen=True)
class Hosts:
    """
    Attributes:
        searched: the model that is searched in, compressed or not.
        whole: the fine-tuned one, whose cost is 1; the same where nothing was removed.
    """

    searched: PreTrainedModel
    whole: PreTrainedModel

    @property
    def compressed(self) -> bool:
        return self.searched is not self.whole


class Target:
    """target.flops or target.speedup of a search.

    Attributes:
        space: the configurations, and what they cost.
        share: wanted, of the plain model's cost: FLOPs, or seconds by a latency table.
    """

    def __init__(self, context: Context, asked: TargetSettings, elimination: Elimination, hosts: Hosts) -> None:
        self.context, self.asked, self.hosts = context, asked, hosts
        self.timed = asked.speedup is not None
        budget = budget_of(context, elimination, hosts, "latency" if self.timed else "flops")
        self.space = Space(elimination, budget, max(context.material.train["length"]))
        share = 1 / asked.speedup if asked.speedup is not None else asked.flops
        assert share is not None
        self.share = share

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Names the target in an error that says it cannot be reached."""
        try:
            yield
        except ValueError as error:
            raise Unreachable(f"{self.asked.text}: {error}; set a milder target") from error

    def controller(self, elimination: Elimination, start: float) -> Controller:
        """Adapts λ, `start` at first, so that a search ends near the target."""
        budget = self.space.budget
        beginning = self.space.cost([1.0] * budget.layers)
        return Controller(lambda masses: budget.share_of_masses(masses, elimination), beginning, self.share, start)

    def reach(self, shares: Sequence[float], result: Path) -> Elimination:
        """The configuration fitted to the target; target.json says how close it came and what was tried.

        A speed-up is measured, and what the latency table is asked for corrected by what was found.

        Args:
            shares: what the search ended with.
        """
        ended = self.space.cost(shares)
        with self.errors():
            if self.timed:
                found = self._by_measuring(shares)
            else:
                found = [{"retention": self.space.elimination(self.space.fitted(shares, self.share))}]
        best = found[-1]["retention"]
        if self.timed:
            best = min(found, key=lambda one: abs(one["speedup"] - self.asked.speedup))["retention"]
        reached = self.space.budget.share_of(best)
        report = {
            "target": self.asked.asked(),
            "cost": "seconds by the latency table" if self.timed else "FLOPs",
            "share_at_end_of_search": ended,
            "share": reached,
            "tried": [{**one, "retention": list(one["retention"].retention.values)} for one in found],
        }
        write_json(result / "target.json", report)
        log.info(
            "%s: the search ended at %.3f of the plain model's cost, fitted to %.3f", self.asked.text, ended, reached
        )
        return best

    def _by_measuring(self, shares: Sequence[float]) -> list[dict[str, Any]]:
        share, tried = self.share, list[dict[str, Any]]()
        wanted = self.asked.speedup
        assert wanted is not None
        least = self.space.elimination([1e-4] * self.space.budget.layers)
        for _ in range(_ATTEMPTS):
            try:
                elimination = self.space.elimination(self.space.fitted(shares, share))
            except ValueError:
                if tried:
                    break  # what was found so far is the nearest that can be had
                # the table knows this encoder only, which may be faster than transformers' by itself
                elimination = least
            (ratio, low, high), alone = self._measured(elimination)
            row = {"retention": elimination, "speedup": ratio, "interval": [low, high], "elimination": alone}
            tried.append({**row, "share_asked": share})
            log.info(
                "%s: measured %.2f times as fast as transformers' model (%.2f to %.2f), by elimination alone %.2f",
                *(self.asked.text, ratio, low, high, alone),
            )
            if abs(ratio / wanted - 1) < _NEAR:
                break
            if elimination == least and ratio < wanted:
                raise ValueError(f"with nothing but [CLS] kept it is {ratio:.2f} times as fast")
            share *= ratio / wanted
        return tried

    def _measured(self, elimination: Elimination) -> tuple[tuple[float, float, float], float]:
        """Speed-ups in length-sorted batches of dev inputs.

        Returns:
            Against transformers' model, with its 95% interval: what the target means. And elimination alone,
            against this encoder with everything kept.
        """
        settings, material, device = self.context.settings, self.context.material, self.context.device
        model = ShortenedModel(copy.deepcopy(self.hosts.searched), elimination).eval()
        drawn = choose_rows(len(material.dev), _EXAMPLES, settings.batch_size, settings.seed)
        rows = [material.dev[i] for i in drawn]
        field = Field(["plain", "full", "shortened"], ["eager"], ["sorted"], [settings.precision])
        place = Place(device, torch.get_num_threads(), Path("."))
        models = models_of(model, copy.deepcopy(self.hosts.whole).eval())
        del models["packed"]  # no target is against it
        contenders, _ = build_contenders(
            models,
            rows,
            material.collator("max"),
            field,
            settings.batch_size,
            settings.seq_len,
            place,
            {},
        )
        warm_up(contenders, device)
        measure(contenders, _ROUNDS, _MAX_SECONDS, device, settings.seed)
        seconds = {one.model: one.seconds for one in contenders}
        against_full, _, _ = speedup(seconds["full"], seconds["shortened"])
        return speedup(seconds["plain"], seconds["shortened"]), against_full


def budget_of(context: Context, elimination: Elimination, hosts: Hosts, kind: str) -> Budget:
    """In flops or latency, on the real lengths of the training inputs, as a share of the fine-tuned model's cost."""
    lengths, size = context.material.train["length"], context.settings.batch_size
    model = ShortenedModel(hosts.searched, elimination)
    if kind == "flops":
        how = model.elimination
        shape, reference = shape_of(hosts.searched), shape_of(hosts.whole)
        return FlopsBudget(shape, lengths, model.ends_in_first, how.merges, how.chosen_beforehand, reference)
    log.info("measuring how long a layer takes on this device, in batches of %d", size)
    dtype = DTYPES[context.settings.precision]
    model = ShortenedModel(copy.deepcopy(hosts.searched), elimination).eval()
    model.to(context.device, dtype)
    whole = None
    if hosts.compressed:
        keeps_all = plain(context.settings.seq_len, layers_of(hosts.whole.config))
        whole = ShortenedModel(copy.deepcopy(hosts.whole), keeps_all).eval()
        whole.to(context.device, dtype)
    return measure_latency(model, lengths, size, whole)


def cost_weights(budget: Budget, elimination: Elimination) -> Callable[[Tensor], Tensor]:
    """What a word-vector of each layer costs where the masses are now, (L,) → (L,).

    Adding up to the sum of the indices 1 … L, so that λ has its usual size.
    """
    total = budget.layers * (budget.layers + 1) / 2
    return lambda masses: (total * budget.prices(masses, elimination)).to(masses)
