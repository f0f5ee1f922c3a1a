"""A search without training: calibration or evolution on unlabelled examples, under a target."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination
from ..report.tables import joined
from ..search.judges import Judge, LogitsJudge, SignificanceJudge
from ..search.untrained import calibrate, evolve
from ..settings import SearchSettings
from ..store.artifacts import write_csv
from ..store.retention_file import RetentionFile
from ..tasks.batches import make_batches
from .record import Record
from .targets import Target, full_model
from .trained import train
from .work import Work

log = logging.getLogger(__name__)


def calibrated(work: Work[SearchSettings], record: Record, result: Path, checkpoints: Path) -> None:
    """Calibration or evolution; the model stays as it is."""
    settings, target = work.settings, Target(work)
    model = full_model(work).to(work.device)
    judge = _judge(work, model)
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
    retention = write_retention(work, elimination, result, record)
    shortened = ShortenedModel(model.host, elimination)
    train(work, shortened, "search", replace(settings.search, epochs=0), result, checkpoints, retention)


def _judge(work: Work[SearchSettings], model: ShortenedModel) -> Judge:
    settings, rows, options = work.settings, work.material.train, work.settings.calibrate
    drawn = np.random.default_rng(settings.seed).permutation(len(rows))[: options.examples]
    batches = make_batches(
        [rows[int(i)] for i in drawn],
        "sorted",
        settings.batch_size,
        work.material.collator("max"),
        work.device,
        settings.seq_len,
    )
    by_significance = settings.searcher == "calibrate" and options.by == "significance"
    return (SignificanceJudge if by_significance else LogitsJudge)(model, batches, settings.training.precision)


def write_retention(
    work: Work[SearchSettings],
    elimination: Elimination,
    result: Path,
    record: Record,
    masses: tuple[float, ...] | None = None,
    kept: tuple[int, ...] | None = None,
) -> RetentionFile:
    """retention.json of what a search found."""
    settings = work.settings
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
