"""One search: with λ, under a target, or without training; not one of several under target.max_drop."""

import logging
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from ..bench.cost import scoring_pays, shape_of
from ..encoder.searching import SearchModel, SoftExtractModel, SoftThresholdModel
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination, to_keys
from ..method.retention import Fractions, Lengths, Thresholds, fractions_from_masses, lengths_from_masses
from ..method.soft_extract import learning_rates, reach
from ..report.search_picture import draw_search
from ..settings import SearchSettings
from ..store.artifacts import whole_file, write_csv
from ..store.environment import processor
from ..store.model_dir import save_model_dir
from ..store.stages import Stage
from ..training.soft_search import Searched, mean_kept, search_retention, search_steps
from ..training.trainer import Plan
from .calibrated import calibrated, write_retention
from .compress import compressed
from .from_settings import unsearched
from .record import MeasuredRecord
from .targets import Target, budget_of, cost_weights
from .trained import write_results
from .work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SearchRecord(MeasuredRecord):
    """
    Attributes:
        start: content of the fine-tuned model.
        elimination, rounding: see `Elimination` and the variant.
        searcher: and how it searches: its options, λ and learning rate of a soft search.
        target: what was asked for in place of λ; retrain: how target.max_drop re-trains its trials.
        measured_on: device, processor, threads and precision, where times decide.
        stage: epochs and learning rate of a soft search.
    """

    STAGE: ClassVar[str] = "search"

    start: str
    elimination: dict[str, Any]
    rounding: str
    searcher: str
    options: dict[str, Any]
    target: dict[str, float]
    retrain: dict[str, Any] | None
    measured_on: list[Any] | None
    stage: dict[str, Any] | None


def searched_once(work: Work[SearchSettings], fresh: bool = False) -> Stage:
    """The search of these settings, starting from the fine-tuned model."""
    record = search_record(work)
    make = _soft if work.settings.searcher == "soft" else calibrated
    return work.ensure(record, partial(make, work, record), fresh)


def search_record(work: Work[SearchSettings]) -> SearchRecord:
    """All that decides what a search finds."""
    settings = work.settings
    soft, target = settings.searcher == "soft", settings.target
    re_trained = settings.retrain if target.max_drop is not None else None
    timed = target.speedup is not None or settings.word_vector_cost == "latency"
    return SearchRecord(
        **work.measured(settings.search if soft else re_trained, scores=True),
        start=compressed(work).identity,
        elimination=to_keys(unsearched(work)),
        rounding=settings.variant.rounding,
        searcher=settings.searcher,
        options=_options(settings),
        target=target.asked() if target.given else {},
        retrain=None if re_trained is None else re_trained.decides(),
        measured_on=[work.device, processor(), torch.get_num_threads(), settings.precision] if timed else None,
        stage=settings.search.decides() if soft else None,
    )


def _options(settings: SearchSettings) -> dict[str, Any]:
    """What decides how the searcher searches; what it does not use is left out."""
    if settings.searcher == "soft":
        relative = settings.retention.kind == "relative"
        return {
            "lambda": settings.regularizer_weight,
            "lr_soft": settings.lr_soft,
            "regularizer": settings.regularizer,
            "shield_cls": settings.variant.shield_cls,
            "word_vector_cost": settings.word_vector_cost,
            "bins": settings.retention.bins if relative else None,
            # λ's part of the gradient was clipped too, before
            **({"clipped": "task"} if settings.training.max_grad_norm and settings.regularizer != "decoupled" else {}),
        }
    own = asdict(settings.evolutionary) if settings.searcher == "evolutionary" else {"by": settings.calibrate.by}
    return {"examples": settings.calibrate.examples, **own}


def _soft(work: Work[SearchSettings], record: SearchRecord, result: Path, checkpoints: Path) -> None:
    """Trains soft-extract layers, or soft thresholds."""
    settings, plan = work.settings, work.plan(work.settings.search)
    _say_reach(work, plan)
    model = _search_model(work)
    target = Target(work) if settings.target.given else None
    controller = None if target is None else target.controller(model.elimination, settings.regularizer_weight)
    weights = None
    if settings.word_vector_cost != "index":
        weights = cost_weights(budget_of(work, settings.word_vector_cost), model.elimination)
    about = f"λ={settings.regularizer_weight:g}" if target is None else target.text
    with work.followed(f"search {about}", checkpoints) as callbacks:
        found = search_retention(
            model,
            work.material,
            plan,
            settings.regularizer_weight,
            settings.lr_soft,
            settings.regularizer == "decoupled",
            checkpoints,
            callbacks,
            weights,
            controller,
        )
    save_model_dir(result / "model", model.host, work.tokenizer)
    save_file({"retention_parameters": found.retention_parameters}, result / "retention_parameters.safetensors")
    write_results(found.trained, settings.task, settings.seed, result)
    elimination, kept = _found(work, model, found, result)
    if target is not None:
        elimination = target.reach(target.space.shares_of(elimination), result)
    retention = write_retention(work, elimination, result, record, found.masses, kept)
    with whole_file(result / "search.png") as temporary:
        draw_search(found.retention_parameters, found.trained.history, retention.configuration, temporary)


def _search_model(work: Work[SearchSettings]) -> SearchModel:
    host, elimination = work.host(compressed(work).model_dir), unsearched(work)
    if isinstance(elimination.retention, Thresholds):
        return SoftThresholdModel(host, elimination)
    return SoftExtractModel(host, elimination, work.settings.variant.shield_cls, work.settings.retention.bins)


def _found(
    work: Work[SearchSettings], model: SearchModel, searched: Searched, result: Path
) -> tuple[Elimination, tuple[int, ...] | None]:
    """What the search found, as a configuration for extract layers, and of thresholds how many they keep.

    Of thresholds also thresholds.csv: how many word-vectors an input of dev keeps as the search expects (the masses)
    and as the hard thresholds do.
    """
    if isinstance(model, SoftThresholdModel):
        found, kept = _worth_their_scores(work, model)
        columns = {"threshold": found.retention.values, "expected": searched.masses, "kept": kept}
        table = pd.DataFrame({"layer": range(1, len(kept) + 1), **columns})
        write_csv(result / "thresholds.csv", table)
        log.info(
            "word-vectors of an input of dev that leave each layer: the search expects %s, hard thresholds keep %s",
            *(", ".join(f"{count:.1f}" for count in counts) for counts in (searched.masses, kept)),
        )
        return found, lengths_from_masses(kept, work.settings.seq_len)
    if model.elimination.relative:
        fractions = Fractions(fractions_from_masses(searched.masses, work.settings.seq_len))
        return replace(model.elimination, retention=fractions), None
    lengths = Lengths(lengths_from_masses(searched.masses, work.settings.seq_len, work.settings.variant.rounding))
    return replace(model.elimination, retention=lengths), None


def _worth_their_scores(work: Work[SearchSettings], model: SoftThresholdModel) -> tuple[Elimination, list[float]]:
    """The thresholds, 0 where scoring costs more FLOPs than what is dropped saves, and what they keep on dev."""
    shape, kept = shape_of(model.host), _kept_by(work, model, model.thresholds)
    before, values = float(np.mean(work.material.dev["length"])), list(model.thresholds)
    for j, after in enumerate(kept):
        if scoring_pays(shape, j, before, after):
            before = after
        elif values[j]:
            log.info("layer %d keeps all it receives: scoring costs more than what its threshold would save", j + 1)
            values[j] = 0.0
    if tuple(values) != model.thresholds:
        kept = _kept_by(work, model, tuple(values))
    return replace(model.elimination, retention=Thresholds(tuple(values))), kept


def _kept_by(work: Work[SearchSettings], model: SoftThresholdModel, thresholds: tuple[float, ...]) -> list[float]:
    hard = replace(model.elimination, retention=Thresholds(thresholds))
    return mean_kept(ShortenedModel(model.host, hard), work.material, work.settings.batch_size)


def _say_reach(work: Work[SearchSettings], plan: Plan) -> None:
    """Says before a search whether its steps can bring a retention parameter to 0."""
    settings, steps = work.settings, search_steps(len(work.data.train), plan)
    fall = reach(learning_rates(steps, plan.training.warmup_ratio, settings.lr_soft))
    if fall == 0:
        log.warning(
            "search: its one step has learning rate 0 (warm-up), so nothing is learnt; set search.epochs higher"
        )
        return
    if settings.regularizer == "decoupled":
        log.info(
            "search: in %d steps at lr_soft=%.3g and λ=%g a retention parameter that the task does not touch falls "
            "by %.2f in layer 1, j times as far in layer j",
            *(steps, settings.lr_soft, settings.regularizer_weight, settings.regularizer_weight * fall),
        )
        return
    log.info(
        "search: in %d steps at lr_soft=%.3g a retention parameter can fall by %.2f", steps, settings.lr_soft, fall
    )
    if fall < 1:
        log.warning(
            "that is less than 1, so no rank can be eliminated fully and different λ may give the same "
            "configuration; set lr_soft=auto or to at least %.2g, or search.epochs to at least %d",
            settings.lr_soft / fall,
            int(np.ceil(plan.epochs / fall)),
        )
