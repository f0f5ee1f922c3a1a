"""The search that learns: soft-extract layers, or soft thresholds, under λ or a target."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file
from transformers import PreTrainedModel

from ..bench.cost import scoring_pays, shape_of
from ..encoder.searching import SearchModel, SoftExtractModel, SoftThresholdModel
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination
from ..method.retention import Fractions, Lengths, Thresholds, fractions_from_masses, lengths_from_masses
from ..method.soft_extract import learning_rates, reach
from ..models.model_dir import save_model_dir
from ..settings import StageSettings
from ..store.artifacts import write_csv
from ..training.soft_search import Searched, mean_kept, search_retention, search_steps
from ..training.trainer import Plan
from .context import Context
from .inputs import Making
from .searching import Search
from .targets import Target, budget_of, cost_weights
from .trained import write_results

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SoftSearch(Search):
    """
    Attributes:
        weight: λ; under a target what it begins with.
        lr_soft: learning rate of the retention parameters.
        regularizer: loss or decoupled: where λ acts.
        shield_cls: soft-extract holds protected word-vectors at 1.
        word_vector_cost: what a word-vector of a layer costs: its index, flops or latency.
        bins: of the relative ranks; None of an absolute retention.
        rounding: from mass to length.
        stage: epochs and learning rate.
    """

    weight: float
    lr_soft: float
    regularizer: str
    shield_cls: bool
    word_vector_cost: str
    bins: int | None
    rounding: str
    stage: StageSettings

    @property
    def regularizer_weight(self) -> float | None:
        return None if self.target.given else self.weight

    def make(self, making: Making) -> None:
        context, hosts = making.context, self.hosts(making)
        plan = context.plan(self.stage)
        self._say_reach(context, plan)
        target = Target(context, self.target, self.elimination, hosts) if self.target.given else None
        weights = None
        if self.word_vector_cost != "index":
            budget = budget_of(context, self.elimination, hosts, self.word_vector_cost)
            weights = cost_weights(budget, self.elimination)
        model = self._model(hosts.searched)
        controller = None if target is None else target.controller(self.elimination, self.weight)
        about = f"λ={self.weight:g}" if target is None else self.target.text
        with context.followed(f"search {about}", making.checkpoints) as callbacks:
            found = search_retention(
                model,
                context.material,
                plan,
                self.weight,
                self.lr_soft,
                self.regularizer == "decoupled",
                making.checkpoints,
                callbacks,
                weights,
                controller,
            )
        save_model_dir(making.result / "model", model.host, context.processor)
        parameters = {"retention_parameters": found.retention_parameters}
        save_file(parameters, making.result / "retention_parameters.safetensors")
        write_results(found.trained, context.settings.task, self.seed, making.result)
        elimination, kept = self._found(context, model, found, making.result)
        if target is not None:
            elimination = target.reach(target.space.shares_of(elimination), making.result)
        self.write_retention(making, elimination, found.masses, kept)

    def _model(self, host: PreTrainedModel) -> SearchModel:
        if isinstance(self.elimination.retention, Thresholds):
            return SoftThresholdModel(host, self.elimination)
        return SoftExtractModel(host, self.elimination, self.shield_cls, self.bins or 1)

    def _found(
        self, context: Context, model: SearchModel, searched: Searched, result: Path
    ) -> tuple[Elimination, tuple[int, ...] | None]:
        """What the search found, as a configuration for extract layers, and of thresholds how many they keep.

        Of thresholds also thresholds.csv: how many word-vectors an input of dev keeps as the search expects (the
        masses) and as the hard thresholds do.
        """
        if isinstance(model, SoftThresholdModel):
            found, kept = _worth_their_scores(context, model)
            columns = {"threshold": found.retention.values, "expected": searched.masses, "kept": kept}
            table = pd.DataFrame({"layer": range(1, len(kept) + 1), **columns})
            write_csv(result / "thresholds.csv", table)
            log.info(
                "word-vectors of an input of dev that leave each layer: the search expects %s, hard thresholds keep %s",
                *(", ".join(f"{count:.1f}" for count in counts) for counts in (searched.masses, kept)),
            )
            return found, lengths_from_masses(kept, self.seq_len)
        if model.elimination.relative:
            fractions = Fractions(fractions_from_masses(searched.masses, self.seq_len))
            return replace(model.elimination, retention=fractions), None
        lengths = Lengths(lengths_from_masses(searched.masses, self.seq_len, self.rounding))
        return replace(model.elimination, retention=lengths), None

    def _say_reach(self, context: Context, plan: Plan) -> None:
        """Says before a search whether its steps can bring a retention parameter to 0."""
        steps = search_steps(len(context.data.train), plan)
        fall = reach(learning_rates(steps, plan.training.warmup_ratio, self.lr_soft))
        if fall == 0:
            log.warning(
                "search: its one step has learning rate 0 (warm-up), so nothing is learnt; set search.epochs higher"
            )
            return
        if self.regularizer == "decoupled":
            log.info(
                "search: in %d steps at lr_soft=%.3g and λ=%g a retention parameter that the task does not touch falls "
                "by %.2f in layer 1, j times as far in layer j",
                *(steps, self.lr_soft, self.weight, self.weight * fall),
            )
            return
        log.info(
            "search: in %d steps at lr_soft=%.3g a retention parameter can fall by %.2f", steps, self.lr_soft, fall
        )
        if fall < 1:
            log.warning(
                "that is less than 1, so no rank can be eliminated fully and different λ may give the same "
                "configuration; set lr_soft=auto or to at least %.2g, or search.epochs to at least %d",
                self.lr_soft / fall,
                int(np.ceil(plan.epochs / fall)),
            )


def _worth_their_scores(context: Context, model: SoftThresholdModel) -> tuple[Elimination, list[float]]:
    """The thresholds, 0 where scoring costs more FLOPs than what is dropped saves, and what they keep on dev."""
    shape, kept = shape_of(model.host), _kept_by(context, model, model.thresholds)
    before, values = float(np.mean(context.material.dev["length"])), list(model.thresholds)
    for j, after in enumerate(kept):
        if scoring_pays(shape, j, before, after):
            before = after
        elif values[j]:
            log.info("layer %d keeps all it receives: scoring costs more than what its threshold would save", j + 1)
            values[j] = 0.0
    if tuple(values) != model.thresholds:
        kept = _kept_by(context, model, tuple(values))
    return replace(model.elimination, retention=Thresholds(tuple(values))), kept


def _kept_by(context: Context, model: SoftThresholdModel, thresholds: tuple[float, ...]) -> list[float]:
    hard = replace(model.elimination, retention=Thresholds(thresholds))
    return mean_kept(ShortenedModel(model.host, hard), context.material, context.settings.batch_size)
