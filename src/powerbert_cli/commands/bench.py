"""powerbert bench: time the shortened model against the plain one."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..bench.batches import choose_rows
from ..bench.run import build_contenders
from ..bench.timing import measure, table
from ..encoder.loading import host_config
from ..encoder.shortened import ShortenedModel
from ..report.tables import say_retention, say_run_dir, say_timing
from ..settings import BenchSettings
from ..store.artifacts import write_csv, write_json
from ..store.environment import capture
from ..store.model_dir import load_shortened
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention
from ..training.trainer import resolve_device
from .elimination import given_retention
from .pipeline import Pipeline
from .retrain import retention_for
from .rundir import begin

log = logging.getLogger(__name__)


def run(cfg: Any) -> float:
    """Returns the speed-up in length-sorted batches, or of the last padding that was timed."""
    settings, run_dir = begin(cfg, BenchSettings)
    pipeline = Pipeline(settings)
    model, retention = contender_model(settings, pipeline)
    say_retention(retention)
    retention.write(run_dir / "retention.json")
    timing = time_model(settings, pipeline, model, run_dir)
    say_timing(timing)
    say_run_dir(run_dir)
    return float(timing[timing["shortened"]]["speedup"].iloc[-1])


def contender_model(settings: BenchSettings, pipeline: Pipeline) -> tuple[ShortenedModel, RetentionFile]:
    """What is timed: a given model directory, a given configuration, or the pipeline's result.

    With a given configuration the weights are not trained, as speed does not depend on them.
    """
    if settings.shortened:
        model = load_shortened(settings.shortened)
        return model, read_retention(Path(settings.shortened) / "retention.json")
    if not settings.checkpoint:
        given = given_retention(settings, host_config(settings.model))
        if given is not None:
            log.info("the weights of %s are not trained for this: speed does not depend on them", settings.model.label)
            return ShortenedModel(pipeline.new_host(), given.elimination), given
    retention, start = retention_for(settings, pipeline)
    return load_shortened(pipeline.retrained(retention, start).folder / "model"), retention


def time_model(settings: BenchSettings, pipeline: Pipeline, model: ShortenedModel, run_dir: Path) -> pd.DataFrame:
    """Times all contenders; writes timing.csv and timing.json."""
    options, material, device = settings.bench, pipeline.material, resolve_device(settings.device)
    chosen = choose_rows(len(material.dev), options.examples, settings.batch_size)
    contenders = build_contenders(
        model,
        [material.dev[i] for i in chosen],
        {"max": material.collator("max"), "longest": material.collator("longest")},
        options.engines,
        options.paddings,
        settings.batch_size,
        options.precision,
        device,
    )
    log.info("bench: %d contenders, %d examples each, batches of %d", len(contenders), len(chosen), settings.batch_size)
    rounds = measure(contenders, options.rounds, options.max_seconds, device, settings.seed)
    timing = table(contenders, settings.batch_size, options.precision)
    write_csv(run_dir / "timing.csv", timing)
    records = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in timing.to_dict("records")]
    write_json(
        run_dir / "timing.json",
        {
            "rounds": rounds,
            "examples": len(chosen),
            "seq_len": settings.seq_len,
            "mean_length": sum(material.dev[i]["length"] for i in chosen) / len(chosen),
            "elimination": asdict(model.elimination),
            "environment": capture(device),
            "contenders": records,
            "seconds": {contender.name: contender.seconds for contender in contenders},
        },
    )
    return timing
