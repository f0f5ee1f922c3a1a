"""powerbert bench: time the shortened model against the plain one."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..bench.accuracy import compared, logits_of
from ..bench.batches import choose_rows, make_batches
from ..bench.cost import Peaks
from ..bench.engines import DTYPES, Place, Runner
from ..bench.peaks import measure_peaks
from ..bench.profile import profile
from ..bench.run import NUMBER_BYTES, TORCH_ENGINES, Field, Skipped, build_contenders, models_of, prepared
from ..bench.timing import Contender, measure, table, warm_up
from ..encoder.loading import host_config
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import to_keys
from ..method.retention import Thresholds
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
    timing = time_model(settings, pipeline, model, run_dir, trained=not _is_untrained(settings))
    say_timing(timing)
    if settings.bench.profile:
        profile_model(settings, pipeline, model, run_dir)
    say_run_dir(run_dir)
    speedups = timing[timing["shortened"]].dropna(subset="speedup")
    in_order = speedups[speedups["padding"] == "sorted"]
    counts = in_order if len(in_order) else speedups
    return float(counts["speedup"].iloc[-1]) if len(counts) else float("nan")


def _is_untrained(settings: BenchSettings) -> bool:
    """Whether a configuration is timed that needs no training: lengths and fractions decide the speed alone."""
    if settings.shortened or settings.checkpoint:
        return False
    return given_retention(settings, host_config(settings.model)) is not None


def contender_model(settings: BenchSettings, pipeline: Pipeline) -> tuple[ShortenedModel, RetentionFile]:
    """What is timed. With given lengths or fractions the weights are not trained: speed does not depend on them.

    Raises:
        PowerbertError: thresholds are given without trained weights, on which the number that passes depends.
    """
    if not _is_untrained(settings):
        return shortened_model(settings, pipeline)
    given = given_retention(settings, host_config(settings.model))
    assert given is not None
    if isinstance(given.elimination.retention, Thresholds):
        raise PowerbertError(
            "strategy=threshold: how many word-vectors reach a threshold, and so the speed, depends on the weights; "
            "give trained ones with checkpoint=MODEL or shortened=RUN/model, or leave the retention configuration out"
        )
    log.info("the weights of %s are not trained for this: speed does not depend on them", settings.model.label)
    return ShortenedModel(pipeline.new_host(), given.elimination), given


def time_model(
    settings: BenchSettings, pipeline: Pipeline, model: ShortenedModel, run_dir: Path, trained: bool = True
) -> pd.DataFrame:
    """Times all contenders at each number of threads, length and batch size; measures the answers of those not exact.

    Writes timing.csv and timing.json, anew after each, so that a run that is stopped leaves what it has.
    """
    options, device, before = settings.bench, resolve_device(settings.device), torch.get_num_threads()
    about = {"elimination": to_keys(model.elimination), "environment": capture(device)}
    timing, records = pd.DataFrame(), []
    answers = _Answers(settings, pipeline, model) if trained else None
    with tempfile.TemporaryDirectory() as folder:
        try:
            for threads in options.threads or [before]:
                torch.set_num_threads(threads)
                place = Place(device, threads, Path(folder))
                peaks = {p: measure_peaks(device, DTYPES[p]) for p in options.precisions if p in DTYPES}
                _say_peaks(peaks, threads)
                for seq_len in options.seq_lens or [settings.seq_len]:
                    for batch_size in options.batch_sizes or [settings.batch_size]:
                        timed, record = _time_at(settings, pipeline, model, place, peaks, seq_len, batch_size, answers)
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
    answers: "_Answers | None",
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of one number of threads, length and batch size, and its record for timing.json."""
    options, material = settings.bench, pipeline.material
    drawn = choose_rows(len(material.dev), options.examples, batch_size, settings.seed)
    chosen = [material.dev[i] for i in drawn]
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
    if answers is not None:
        timing = answers.beside(timing, contenders, seq_len)
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
        "calls_s": {contender.name: contender.calls for contender in contenders},
    }


class _Answers:
    """Answers on dev of each way to run a model, beside the same model's in float32; each measured once."""

    def __init__(self, settings: BenchSettings, pipeline: Pipeline, model: ShortenedModel) -> None:
        self.settings, self.material, self.models = settings, pipeline.material, models_of(model)
        self._exact: dict[tuple[str, int], np.ndarray] = {}
        self._known: dict[tuple[str, str, str, int], dict[str, Any]] = {}

    def beside(self, timing: pd.DataFrame, contenders: Sequence[Contender], seq_len: int) -> pd.DataFrame:
        """The timing table with the columns of `bench.accuracy.compared` where `bench.accuracy` wants them."""
        wanted, rows = self.settings.bench.accuracy, []
        for c in contenders:
            measured = wanted is True or (wanted == "auto" and c.precision != "fp32")
            rows.append(self._of(c, seq_len) if measured else {})
        columns = ["metric", "value", "value_fp32", "answers_differ", "logits_differ"]
        return pd.concat([timing, pd.DataFrame(rows, index=timing.index).reindex(columns=columns)], axis=1)

    def _of(self, c: Contender, seq_len: int) -> dict[str, Any]:
        known = (c.model, c.engine, c.precision, seq_len)
        if known not in self._known:
            log.info("bench: the answers of %s/%s/%s on dev", c.model, c.engine, c.precision)
            device = resolve_device(self.settings.device) if c.engine in TORCH_ENGINES else "cpu"
            logits = self._logits(c.run, seq_len, device, c.engine == "compile")
            labels, task = np.asarray(self.material.dev["labels"]), self.settings.task
            self._known[known] = compared(logits, self._exact_of(c.model, seq_len), labels, task.metric, task.kind)
        return self._known[known]

    def _exact_of(self, name: str, seq_len: int) -> np.ndarray:
        if (name, seq_len) not in self._exact:
            device = resolve_device(self.settings.device)
            ((_, model),) = prepared({name: self.models[name]}, "eager", "fp32", device)
            self._exact[name, seq_len] = self._logits(model, seq_len, device, False)
        return self._exact[name, seq_len]

    def _logits(self, run: Runner, seq_len: int, device: str, buckets: bool) -> np.ndarray:
        pad = self.material.collator("max")
        return logits_of(run, self.material.dev, pad, self.settings.batch_size, seq_len, device, buckets)


def profile_model(settings: BenchSettings, pipeline: Pipeline, model: ShortenedModel, run_dir: Path) -> None:
    """Where the time goes in eager PyTorch, at the first precision and padding; writes profile.csv and profile.png."""
    options, device, material = settings.bench, resolve_device(settings.device), pipeline.material
    precision = next((p for p in options.precisions if p in DTYPES), "fp32")
    models = {name: part for name, part in models_of(model).items() if name != "full"}
    drawn = choose_rows(len(material.dev), options.examples, settings.batch_size, settings.seed)
    rows = [material.dev[i] for i in drawn]
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
