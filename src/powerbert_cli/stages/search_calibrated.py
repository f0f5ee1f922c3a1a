"""A search without training: calibration or evolution on unlabelled examples, under a target."""

import logging
from dataclasses import dataclass

import pandas as pd

from ..encoder.shortened import ShortenedModel
from ..search.judges import Judge, LogitsJudge, SignificanceJudge
from ..search.untrained import calibrate, evolve
from ..settings import StageSettings
from ..store.artifacts import write_csv
from ..tasks.batch import Batch
from ..tasks.batches import draw_rows, make_batches
from .inputs import Making
from .searching import Search
from .targets import Target
from .trained import train

log = logging.getLogger(__name__)
_OTHERS = 512  # rows that a lens is fitted on
_UNTRAINED = StageSettings(epochs=0, lr=1.0)


@dataclass(frozen=True, kw_only=True)
class CalibratedSearch(Search):
    """The model stays as it is.

    Attributes:
        by: logits or significance: what a configuration is judged by. examples: that it is judged on.
        population, generations: of an evolution; None of a calibration.
    """

    by: str
    examples: int
    population: int | None
    generations: int | None

    def make(self, making: Making) -> None:
        context, hosts = making.context, self.hosts(making)
        target = Target(context, self.target, self.elimination, hosts)
        model = ShortenedModel(hosts.searched, self.elimination).eval().to(context.device)
        judge = self._judge(making, model)
        with target.errors():
            if self.population is None or self.generations is None:
                shares, tried = calibrate(target.space, judge, target.share)
            else:
                how = (self.population, self.generations, self.seed)
                shares, tried = evolve(target.space, judge, target.share, *how)
        log.info(
            "%s: %d configurations judged on %d unlabelled examples",
            *("calibrate" if self.population is None else "evolutionary", judge.calls, self.examples),
        )
        rows = [
            {"cost": one.cost, "harm": one.harm, "shares": ",".join(f"{share:g}" for share in one.shares)}
            for one in tried
        ]
        write_csv(making.result / "tried.csv", pd.DataFrame(rows))
        elimination = target.reach(shares, making.result)
        retention = self.write_retention(making, elimination)
        train(making, ShortenedModel(hosts.searched, elimination), "search", _UNTRAINED, retention)

    def _judge(self, making: Making, model: ShortenedModel) -> Judge:
        drawn, others = self._drawn(making)
        by_significance = self.population is None and self.by == "significance"
        if by_significance:
            return SignificanceJudge(model, drawn, self.training["precision"])
        others = others if model.reads == "all" else []
        return LogitsJudge(model, drawn, self.training["precision"], others, alike=self.population is None)

    def _drawn(self, making: Making) -> tuple[list[Batch], list[Batch]]:
        """Training rows that a configuration is judged on, and others."""
        context = making.context
        rows, size = context.material.train, context.settings.batch_size
        drawn, pad = draw_rows(len(rows), self.examples + _OTHERS, self.seed), context.material.collator("max")

        def batches(own: list[int]) -> list[Batch]:
            given = [rows[i] for i in own]
            return make_batches(given, "sorted", size, pad, context.device, self.seq_len)

        return batches(drawn[: self.examples]), batches(drawn[self.examples :] or drawn)
