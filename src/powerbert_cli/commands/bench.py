"""powerbert bench: time the shortened model against the plain one."""

import logging
import tempfile
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..bench.batches import choose_rows, make_batches
from ..bench.cost import Peaks
from ..bench.engines import DTYPES, Place
from ..bench.peaks import measure_peaks
from ..bench.profile import profile
from ..bench.run import NUMBER_BYTES, Field, Skipped, build_contenders, models_of, prepared
from ..bench.timing import measure, table, warm_up
from ..encoder.loading import host_config
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..report.profile import draw_profile, say_profile
from ..report.tables import say_retention, say_run_dir, say_timing
from ..settings import BenchSettings
from ..store.artifacts import whole_file, write_csv, write_json
from ..store.environment import capture
from ..store.retention_file import RetentionFile
from ..training.trainer import resolve_device
from .elimination import given_retention
from .pipeline import Pipeline
from .retrain import shortened_model
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
    if settings.bench.profile:
        profile_model(settings, pipeline, model, run_dir)
    say_run_dir(run_dir)
    speedups = timing[timing["shortened"]]["speedup"].dropna()
    return float(speedups.iloc[-1]) if len(speedups) else float("nan")


def contender_model(settings: BenchSettings, pipeline: Pipeline) -> tuple[ShortenedModel, RetentionFile]:
    """What is timed. With a given configuration the weights are not trained: speed does not depend on them."""
    if not settings.shortened and not settings.checkpoint:
        given = given_retention(settings, host_config(settings.model))
        if given is not None:
            log.info("the weights of %s are not trained for this: speed does not depend on them", settings.model.label)
            return ShortenedModel(pipeline.new_host(), given.elimination), given
    return shortened_model(settings, pipeline)


def time_model(settings: BenchSettings, pipeline: Pipeline, model: ShortenedModel, run_dir: Path) -> pd.DataFrame:
    """Times all contenders at each number of threads, length and batch size.

    Writes timing.csv and timing.json, anew after each, so that a run that is stopped leaves what it has.
    """
    options, device, before = settings.bench, resolve_device(settings.device), torch.get_num_threads()
    about = {"elimination": asdict(model.elimination), "environment": capture(device)}
    timing, records = pd.DataFrame(), []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for threads in options.threads or [before]:
                torch.set_num_threads(threads)
                place = Place(device, threads, Path(folder))
                peaks = {p: measure_peaks(device, DTYPES[p]) for p in options.precisions if p in DTYPES}
                _say_peaks(peaks, threads)
                for seq_len in options.seq_lens or [settings.seq_len]:
                    for batch_size in options.batch_sizes or [settings.batch_size]:
                        timed, record = _time_at(settings, pipeline, model, place, peaks, seq_len, batch_size)
                        timing = pd.concat([timing, timed], ignore_index=True)
                        records.append(record)
                        write_csv(run_dir / "timing.csv", timing)
                        write_json(run_dir / "timing.json", {**about, "runs": records})
        finally:
            torch.set_num_threads(before)
    if not len(timing):
        reasons = dict.fromkeys(skip["reason"] for record in records for skip in record["skipped"])
        raise PowerbertError("bench: no contender can run here; " + "; ".join(reasons))
    return timing


def _say_peaks(peaks: dict[str, Peaks], threads: int) -> None:
    for precision, peak in peaks.items():
        log.info(
            "bench: this device reaches %.1f GFLOP/s in %s and reads %.1f GB/s, with %d threads",
            *(peak.flops_per_s / 1e9, precision, peak.bytes_per_s / 1e9, threads),
        )


def _time_at(
    settings: BenchSettings,
    pipeline: Pipeline,
    model: ShortenedModel,
    place: Place,
    peaks: dict[str, Peaks],
    seq_len: int,
    batch_size: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of one number of threads, length and batch size, and its record for timing.json."""
    options, material = settings.bench, pipeline.material
    chosen = [material.dev[i] for i in choose_rows(len(material.dev), options.examples, batch_size)]
    field = Field(options.models, options.engines, options.paddings, options.precisions)
    contenders, skipped = build_contenders(
        models_of(model), chosen, material.collator("max"), field, batch_size, seq_len, place, peaks
    )
    contenders, too_large = warm_up(contenders, place.device)
    skipped += [Skipped(c.model, c.engine, c.precision, f"out of memory, padding {c.padding}") for c in too_large]
    for (where, reason), group in groupby(skipped, key=lambda skip: (f"{skip.engine}/{skip.precision}", skip.reason)):
        log.warning("bench: %s skipped (%s): %s", where, ", ".join(skip.model for skip in group), reason)
    if contenders:
        log.info(
            "bench: %d contenders, %d examples each, batches of %d, %d threads",
            *(len(contenders), len(chosen), batch_size, place.threads),
        )
    rounds = measure(contenders, options.rounds, options.max_seconds, place.device, settings.seed) if contenders else 0
    timing = table(contenders, batch_size, seq_len)
    return timing, {
        "rounds": rounds,
        "threads": place.threads,
        "batch_size": batch_size,
        "seq_len": seq_len,
        "examples": len(chosen),
        "mean_length": sum(min(row["length"], seq_len) for row in chosen) / len(chosen),
        "peaks": {precision: asdict(peak) for precision, peak in peaks.items()},
        "contenders": [{k: None if pd.isna(v) else v for k, v in row.items()} for row in timing.to_dict("records")],
        "skipped": [asdict(skip) for skip in skipped],
        "seconds": {contender.name: contender.seconds for contender in contenders},
    }


def profile_model(settings: BenchSettings, pipeline: Pipeline, model: ShortenedModel, run_dir: Path) -> None:
    """Where the time goes in eager PyTorch, at the first precision and padding; writes profile.csv and profile.png."""
    options, device, material = settings.bench, resolve_device(settings.device), pipeline.material
    precision = next((p for p in options.precisions if p in DTYPES), "fp32")
    models = {name: part for name, part in models_of(model).items() if name != "plain-cls"}
    rows = [material.dev[i] for i in choose_rows(len(material.dev), options.examples, settings.batch_size)]
    batches = make_batches(
        rows, options.paddings[0], settings.batch_size, material.collator("max"), device, settings.seq_len
    )
    found = profile(
        dict(prepared(models, "eager", precision, device)),
        batches,
        options.rounds,
        device,
        measure_peaks(device, DTYPES[precision]),
        NUMBER_BYTES[precision],
    )
    write_csv(run_dir / "profile.csv", found)
    with whole_file(run_dir / "profile.png") as temporary:
        draw_profile(found, len(batches), temporary)
    say_profile(found, len(batches))
