"""Timing the shortened model against the plain one."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedModel

from ..bench.choice import answers_count
from ..bench.contenders import NUMBER_BYTES, Field, Skipped, build_contenders, models_of, prepared
from ..bench.cost import Peaks
from ..bench.int8 import CALIBRATED_ON
from ..bench.load import cores, load_average
from ..bench.peaks import measure_peaks
from ..bench.place import DTYPES, Place
from ..bench.plan import Allowance, Answering, Schedule, plan, schedule
from ..bench.profile import profile
from ..bench.table import table
from ..bench.timing import Contender, Told, fill_busy, measure, probe, silent, warm_up
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import to_keys
from ..settings import CALIBRATED
from ..settings.composed import TimedSettings
from ..settings.folders import exported
from ..stages.run import Run
from ..store.artifacts import write_csv, write_json
from ..store.environment import capture, cpu_flags
from ..store.retention_file import RetentionFile
from ..tasks.batch import Batch
from ..tasks.batches import choose_rows, make_batches
from .answered import ANSWERS, Answered
from .timed_models import contender_model, whole_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timed:
    """
    Attributes:
        model: the shortened one. model_dir: where it is; None of weights that are not trained.
        whole: the plain one that a compressed model was made of; None where nothing was.
        retention: its configuration.
        timing: see `bench.table.table`.
    """

    model: ShortenedModel
    whole: PreTrainedModel | None
    retention: RetentionFile
    timing: pd.DataFrame
    model_dir: Path | None = None


def bench(
    job: Run[TimedSettings],
    folder: Path | None = None,
    told: Told = silent,
) -> Timed:
    """Times the shortened model of these settings; trains it first where it has to be trained and is not.

    Args:
        folder: gets retention.json, timing.csv and timing.json.
        told: hears what is done now.
    """
    model, retention, model_dir = contender_model(job)
    if folder is not None:
        retention.write(folder / "retention.json")
    whole = whole_of(job, model)
    timing = time_model(job, model, folder, model_dir is not None, whole, told)
    return Timed(model, whole, retention, timing, model_dir)


def time_model(
    job: Run[TimedSettings],
    model: ShortenedModel,
    folder: Path | None,
    trained: bool = True,
    whole: PreTrainedModel | None = None,
    told: Told = silent,
) -> pd.DataFrame:
    """Times all contenders at each number of threads, length and batch size; measures the answers of those not exact.

    Args:
        folder: gets timing.csv and timing.json, anew after each timing and each measuring of answers, so that a run
            that is stopped leaves what it has, down to the rounds that are whole.
        trained: the weights are, so that answers mean something.
        whole: see `whole_of`. told: hears what is done now.
    """
    options, before = job.settings.bench, torch.get_num_threads()
    about = {"elimination": to_keys(model.elimination), "environment": capture(job.context.device)}
    timing, records, models = pd.DataFrame(), list[dict[str, Any]](), models_of(model, whole)
    random_plain = job.settings.shortened_dir is not None and whole is not None
    with_weights = {name: one for name, one in models.items() if not (random_plain and name in ("plain", "packed"))}
    measured = Answered(job, with_weights) if trained else None
    given = job.settings.shortened_dir
    written = None if given is None else exported(given)
    inputs = calibration_inputs(job) if "int8" in options.precisions and {*CALIBRATED} & {*options.engines} else []
    seq_lens, sizes = options.seq_lens or [job.settings.seq_len], options.batch_sizes or [job.settings.batch_size]
    allowance = Allowance(options.max_seconds, len(options.threads or [before]) * len(seq_lens) * len(sizes))
    with tempfile.TemporaryDirectory() as files:
        try:
            for threads in options.threads or [before]:
                torch.set_num_threads(threads)
                place = Place(job.context.device, threads, Path(files), inputs, written)
                peaks = _peaks(options.precisions, job.context.device)
                _say_peaks(peaks, threads)
                for seq_len in seq_lens:
                    for batch_size in sizes:
                        before_it, runs = timing, list(records)
                        at = _Point(place, peaks, seq_len, batch_size, allowance, told)
                        for timed, record in _time_at(job, models, at, measured):
                            timing, records = pd.concat([before_it, timed], ignore_index=True), [*runs, record]
                            if folder is not None:
                                write_csv(folder / "timing.csv", timing)
                                write_json(folder / "timing.json", {**about, "runs": records})
        finally:
            torch.set_num_threads(before)
    if not len(timing):
        reasons = dict.fromkeys(skip["reason"] for record in records for skip in record["skipped"])
        raise PowerbertError("bench: no contender can run here; " + "; ".join(reasons))
    return timing


def calibration_inputs(job: Run[TimedSettings]) -> list[Batch]:
    """Some training texts, each for itself, drawn with seed: what int8 is calibrated on."""
    train, seq_len = job.context.material.train, job.settings.seq_len
    rows = [train[i] for i in choose_rows(len(train), CALIBRATED_ON, 1, job.settings.seed)]
    return make_batches(rows, "longest", 1, job.context.material.collator("max"), "cpu", seq_len)


def _peaks(precisions: Sequence[str], device: str) -> dict[str, Peaks]:
    """By precision; of int8 on a CPU, where this package has a product of its own to measure it with."""
    known = [p for p in precisions if p in DTYPES or device == "cpu"]
    return {precision: measure_peaks(device, DTYPES.get(precision, torch.int8)) for precision in known}


def _say_peaks(peaks: dict[str, Peaks], threads: int) -> None:
    for precision, peak in peaks.items():
        read = ""
        if peak.read_bytes is not None and peak.cache_bytes is not None:
            read = f" ({peak.read_bytes / 2**20:.0f} MiB at once, beside {peak.cache_bytes / 2**20:.0f} MiB of cache)"
        log.info(
            "bench: this device reaches %.1f billion operations a second in %s and reads %.1f GB/s%s, with %d threads",
            *(peak.flops_per_s / 1e9, precision, peak.bytes_per_s / 1e9, read, threads),
        )


@dataclass(frozen=True)
class _Point:
    """One number of threads, length and batch size, and what timing there needs."""

    place: Place
    peaks: dict[str, Peaks]
    seq_len: int
    batch_size: int
    allowance: Allowance
    told: Told


def _time_at(
    job: Run[TimedSettings], models: dict[str, nn.Module], at: _Point, measured: Answered | None
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """The table of one point, and its record for timing.json.

    First without answers, which take longer to measure than times, then with them; when it is stopped, of the rounds
    that are whole.
    """
    settings, options, material = job.settings, job.settings.bench, job.context.material
    place, peaks, seq_len, batch_size = at.place, at.peaks, at.seq_len, at.batch_size
    drawn = choose_rows(len(material.dev), options.examples, batch_size, settings.seed)
    chosen = [material.dev[i] for i in drawn]
    answering = measured.seconds(len(chosen)) if measured else lambda c: 0.0
    contenders, skipped, expected = _ready(job, models, chosen, at, answering)
    busy = load_average()

    def record() -> dict[str, Any]:
        return {
            "rounds": len(contenders[0].calls) if contenders else 0,
            "threads": place.threads,
            "batch_size": batch_size,
            "seq_len": seq_len,
            "examples": len(chosen),
            "mean_length": sum(min(row["length"], seq_len) for row in chosen) / len(chosen),
            "peaks": {precision: asdict(peak) for precision, peak in peaks.items()},
            "skipped": [asdict(skip) for skip in skipped],
            "calls_s": {contender.name: contender.calls for contender in contenders},
        }

    def found(said: list[dict[str, Any]]) -> tuple[pd.DataFrame, dict[str, Any]]:
        holds = [answers_count(one, settings.bench.max_drop) for one in said]
        inexact = {c.name for c, held in zip(contenders, holds, strict=True) if held is False}
        timing = table(contenders, batch_size, seq_len, inexact)
        if measured is not None:
            timing = pd.concat([timing, pd.DataFrame(said, index=timing.index).reindex(columns=ANSWERS)], axis=1)
            timing["within_max_drop"] = holds
        timing["cpu_flags"] = [" ".join(cpu_flags()) if c.precision != "fp32" else None for c in contenders]
        timing["load_average"], timing["cores"] = load, cores()
        rows = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in timing.to_dict("records")]
        return timing, {**record(), "contenders": rows}

    load, stopped = busy, None
    try:
        if contenders:
            left = at.allowance.left - expected.answers_s
            measure(contenders, options.rounds, left, place.device, settings.seed, at.told)
            fill_busy(contenders, place.device)
    except BaseException as error:
        stopped = error
    load = max((one for one in (busy, load_average()) if one is not None), default=None)
    if stopped is None or (contenders and contenders[0].calls):
        yield found([{} for _ in contenders])
    if stopped is not None:
        log.warning("bench: stopped; %d whole rounds are kept", record()["rounds"])
        raise stopped
    if measured is not None and contenders:
        yield found(list(measured.all(contenders, seq_len, at.told)))
    at.allowance.end()


def _ready(
    job: Run[TimedSettings], models: dict[str, nn.Module], rows: list[Any], at: _Point, answering: Answering
) -> tuple[list[Contender], list[Skipped], Schedule]:
    """The contenders that are timed, warm; those that are not; and what timing should take, which is said."""
    options, place, told = job.settings.bench, at.place, at.told
    field = Field(options.models, options.engines, options.paddings, options.precisions)
    pad = job.context.material.collator("max")
    contenders, skipped = build_contenders(models, rows, pad, field, at.batch_size, at.seq_len, place, at.peaks)
    at.allowance.begin()
    contenders, too_large = probe(contenders, place.device, told)
    contenders, left_out, needed = plan(contenders, at.allowance.left, options.rounds, answering)
    no_time = _left_out(left_out, len(contenders) + len(left_out), needed, at.allowance)
    contenders, larger = warm_up(contenders, place.device, told)
    for c in (*too_large, *larger):
        skipped.append(Skipped(c.model, c.engine, c.precision, f"out of memory, padding {c.padding}"))
    for (where, reason), group in groupby(skipped, key=lambda skip: (f"{skip.engine}/{skip.precision}", skip.reason)):
        log.warning("bench: %s skipped (%s): %s", where, ", ".join(skip.model for skip in group), reason)
    expected = schedule(contenders, at.allowance.left, options.rounds, answering)
    if contenders:
        log.info(
            "bench: %d contenders, %d examples each, batches of %d, %d threads; %s",
            *(len(contenders), len(rows), at.batch_size, place.threads, expected),
        )
    return contenders, [*skipped, *no_time], expected


def _left_out(left_out: list[Contender], count: int, needed: float, allowance: Allowance) -> list[Skipped]:
    """Says what there is no time for."""
    if not left_out:
        return []
    log.warning(
        "bench: no time for %d of %d contenders within bench.max_seconds=%g: %s; about bench.max_seconds=%d has all",
        *(len(left_out), count, allowance.seconds, ", ".join(c.name for c in left_out), allowance.would_do(needed)),
    )
    reason = f"no time within bench.max_seconds={allowance.seconds:g}"
    return [Skipped(c.model, c.engine, c.precision, f"{reason}, padding {c.padding}") for c in left_out]


def profiled(job: Run[TimedSettings], found: Timed) -> tuple[pd.DataFrame, int]:
    """Where the time goes in eager PyTorch, at the first precision and padding, and over how many batches."""
    settings, options, device, material = job.settings, job.settings.bench, job.context.device, job.context.material
    precision = next((p for p in options.precisions if p in DTYPES), "fp32")
    models = {name: one for name, one in models_of(found.model, found.whole).items() if name not in ("full", "packed")}
    drawn = choose_rows(len(material.dev), options.examples, settings.batch_size, settings.seed)
    rows = [material.dev[i] for i in drawn]
    batches = make_batches(
        rows, options.paddings[0], settings.batch_size, material.collator("max"), device, settings.seq_len
    )
    parts = profile(
        dict(prepared(models, "eager", precision, device)),
        batches,
        options.rounds,
        device,
        measure_peaks(device, DTYPES[precision]),
        NUMBER_BYTES[precision],
    )
    return parts, len(batches)
