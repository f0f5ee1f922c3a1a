"""The search stage: with λ, under a target, or without training."""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from ..bench.batches import make_batches
from ..bench.cost import EncoderShape, scoring_pays
from ..encoder.searching import SearchModel, SoftExtractModel, SoftThresholdModel
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination, to_keys
from ..method.retention import Fractions, Lengths, Thresholds, fractions_from_masses, lengths_from_masses
from ..method.soft_extract import learning_rates, reach
from ..report.search import draw_search
from ..report.tables import joined
from ..search.judges import Judge, LogitsJudge, SignificanceJudge
from ..search.untrained import calibrate, evolve
from ..settings import SearchSettings
from ..store.artifacts import whole_file, write_csv
from ..store.environment import processor
from ..store.model_dir import save_model_dir
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention
from ..store.stages import Stage
from ..training.stages import Searched, mean_kept, search_retention, search_steps
from ..training.trainer import Plan, resolve_device
from .bisect import bisect_drop
from .pipeline import Pipeline, with_progress
from .records import SearchRecord
from .results import write_results
from .targets import Target, budget_of, cost_weights, full_model

log = logging.getLogger(__name__)


def searched(pipeline: Pipeline) -> Stage:
    """The search of the pipeline's settings, starting from the fine-tuned model."""
    settings = pipeline.settings
    assert isinstance(settings, SearchSettings)
    record = _record(pipeline, settings)

    def make(result: Path, checkpoints: Path) -> None:
        if settings.target.max_drop is not None:
            bisect_drop(pipeline, settings, result, searched)
        elif settings.searcher == "soft":
            _soft(pipeline, settings, record, result, checkpoints)
        else:
            _untrained(pipeline, settings, record, result)

    return pipeline.ensure(record, make)


def retention_of(stage: Stage) -> RetentionFile:
    """The retention configuration that a search stage found."""
    return read_retention(stage.folder / "retention.json")


def _record(pipeline: Pipeline, settings: SearchSettings) -> SearchRecord:
    soft, target = settings.searcher == "soft", settings.target
    re_trained = settings.retrain if target.max_drop is not None else None
    timed = target.speedup is not None or settings.word_vector_cost == "latency"
    device = resolve_device(settings.device)
    return SearchRecord(
        **pipeline.measured(settings.search if soft else re_trained, scores=True),
        start=pipeline.finetuned.identity,
        elimination=to_keys(pipeline.elimination()),
        rounding=settings.variant.rounding,
        searcher=settings.searcher,
        options=_options(settings),
        target=target.asked() if target.given else {},
        retrain=None if re_trained is None else re_trained.decides(),
        measured_on=[device, processor(), torch.get_num_threads(), settings.precision] if timed else None,
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
        }
    own = asdict(settings.evolutionary) if settings.searcher == "evolutionary" else {"by": settings.calibrate.by}
    return {"examples": settings.calibrate.examples, **own}


def _soft(pipeline: Pipeline, settings: SearchSettings, record: SearchRecord, result: Path, checkpoints: Path) -> None:
    """Trains soft-extract layers, or soft thresholds."""
    plan = pipeline.plan(settings.search)
    _say_reach(pipeline, settings, plan)
    model = _search_model(pipeline, settings)
    target = Target(pipeline, settings) if settings.target.given else None
    controller = None if target is None else target.controller(model.elimination, settings.regularizer_weight)
    weights = None
    if settings.word_vector_cost != "index":
        weights = cost_weights(budget_of(pipeline, settings, settings.word_vector_cost), model.elimination)
    about = f"λ={settings.regularizer_weight:g}" if target is None else target.text
    found = with_progress(
        pipeline.progress(f"search {about}"),
        lambda progress: search_retention(
            model,
            pipeline.material,
            plan,
            settings.regularizer_weight,
            settings.lr_soft,
            settings.regularizer == "decoupled",
            checkpoints,
            [progress],
            weights,
            controller,
        ),
    )
    save_model_dir(result / "model", model.host, pipeline.tokenizer)
    save_file({"retention_parameters": found.retention_parameters}, result / "retention_parameters.safetensors")
    write_results(found.trained, settings.task, settings.seed, result)
    elimination, kept = _found(pipeline, settings, model, found, result)
    if target is not None:
        elimination = target.reach(target.space.shares_of(elimination), result)
    retention = _write_retention(elimination, settings, result, record, found.masses, kept)
    with whole_file(result / "search.png") as temporary:
        draw_search(found.retention_parameters, found.trained.history, retention.configuration, temporary)


def _untrained(pipeline: Pipeline, settings: SearchSettings, record: SearchRecord, result: Path) -> None:
    """Calibration or evolution; the model stays as it is."""
    target = Target(pipeline, settings)
    model = full_model(pipeline).to(resolve_device(settings.device))
    judge = _judge(pipeline, settings, model)
    with target.errors():
        if settings.searcher == "calibrate":
            shares, tried = calibrate(target.space, judge, target.share)
        else:
            options = settings.evolutionary
            shares, tried = evolve(
                target.space, judge, target.share, options.population, options.generations, settings.seed
            )
    log.info(
        "%s: %d configurations judged on %d unlabelled examples",
        *(settings.searcher, judge.calls, settings.calibrate.examples),
    )
    rows = [{"cost": one.cost, "harm": one.harm, "shares": joined(one.shares)} for one in tried]
    write_csv(result / "tried.csv", pd.DataFrame(rows))
    elimination = target.reach(shares, result)
    retention = _write_retention(elimination, settings, result, record, None)
    shortened = ShortenedModel(model.host, elimination)
    pipeline.train(shortened, "search", replace(settings.search, epochs=0), result, result, retention)


def _judge(pipeline: Pipeline, settings: SearchSettings, model: ShortenedModel) -> Judge:
    train, options = pipeline.material.train, settings.calibrate
    drawn = np.random.default_rng(settings.seed).permutation(len(train))[: options.examples]
    batches = make_batches(
        [train[int(i)] for i in drawn],
        "sorted",
        settings.batch_size,
        pipeline.material.collator("max"),
        resolve_device(settings.device),
        settings.seq_len,
    )
    by_significance = settings.searcher == "calibrate" and options.by == "significance"
    return (SignificanceJudge if by_significance else LogitsJudge)(model, batches, settings.training.precision)


def _write_retention(
    elimination: Elimination,
    settings: SearchSettings,
    result: Path,
    record: SearchRecord,
    masses: tuple[float, ...] | None,
    kept: tuple[int, ...] | None = None,
) -> RetentionFile:
    plain_lambda = settings.searcher == "soft" and not settings.target.given
    retention = RetentionFile(
        elimination,
        kept,
        task=settings.task.name,
        model=settings.start_model.label,
        regularizer_weight=settings.regularizer_weight if plain_lambda else None,
        masses=masses,
        provenance=record.decides(),
    )
    retention.write(result / "retention.json")
    return retention


def _search_model(pipeline: Pipeline, settings: SearchSettings) -> SearchModel:
    host, elimination = pipeline.host(pipeline.finetuned.model_dir), pipeline.elimination()
    if isinstance(elimination.retention, Thresholds):
        return SoftThresholdModel(host, elimination)
    return SoftExtractModel(host, elimination, settings.variant.shield_cls, settings.retention.bins)


def _found(
    pipeline: Pipeline, settings: SearchSettings, model: SearchModel, searched: Searched, result: Path
) -> tuple[Elimination, tuple[int, ...] | None]:
    """What the search found, as a configuration for extract layers, and of thresholds how many they keep.

    Of thresholds also thresholds.csv: how many word-vectors an input of dev keeps as the search expects (the masses)
    and as the hard thresholds do.
    """
    if isinstance(model, SoftThresholdModel):
        found, kept = _worth_their_scores(pipeline, settings, model)
        columns = {"threshold": found.retention.values, "expected": searched.masses, "kept": kept}
        table = pd.DataFrame({"layer": range(1, len(kept) + 1), **columns})
        write_csv(result / "thresholds.csv", table)
        log.info(
            "word-vectors of an input of dev that leave each layer: the search expects %s, hard thresholds keep %s",
            *(", ".join(f"{count:.1f}" for count in counts) for counts in (searched.masses, kept)),
        )
        return found, lengths_from_masses(kept, settings.seq_len)
    if model.elimination.relative:
        fractions = Fractions(fractions_from_masses(searched.masses, settings.seq_len))
        return replace(model.elimination, retention=fractions), None
    lengths = Lengths(lengths_from_masses(searched.masses, settings.seq_len, settings.variant.rounding))
    return replace(model.elimination, retention=lengths), None


def _worth_their_scores(
    pipeline: Pipeline, settings: SearchSettings, model: SoftThresholdModel
) -> tuple[Elimination, list[float]]:
    """The thresholds, 0 where scoring costs more FLOPs than what is dropped saves, and what they keep on dev."""
    shape = EncoderShape.of(model.config)

    def with_kept(values: tuple[float, ...]) -> tuple[Elimination, list[float]]:
        found = replace(model.elimination, retention=Thresholds(values))
        return found, mean_kept(ShortenedModel(model.host, found), pipeline.material, settings.batch_size)

    found, kept = with_kept(model.thresholds)
    before, values = float(np.mean(pipeline.material.dev["length"])), list(model.thresholds)
    for j, after in enumerate(kept):
        if scoring_pays(shape, before, after):
            before = after
        elif values[j]:
            log.info("layer %d keeps all it receives: scoring costs more than what its threshold would save", j + 1)
            values[j] = 0.0
    return (found, kept) if tuple(values) == model.thresholds else with_kept(tuple(values))


def _say_reach(pipeline: Pipeline, settings: SearchSettings, plan: Plan) -> None:
    """Says before a search whether its steps can bring a retention parameter to 0."""
    steps = search_steps(len(pipeline.data.train), plan)
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
