"""Timing the shortened model against the plain one."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedModel

from ..bench.contenders import NUMBER_BYTES, TORCH_ENGINES, Field, Skipped, build_contenders, models_of, prepared
from ..bench.cost import Peaks
from ..bench.engines import DTYPES, Place, Runner
from ..bench.int8 import CALIBRATED_ON
from ..bench.peaks import measure_peaks
from ..bench.profile import profile
from ..bench.table import compared, table
from ..bench.timing import Contender, measure, warm_up
from ..encoder.loading import host_config
from ..encoder.removing import host_of_sizes
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import to_keys
from ..method.retention import Thresholds
from ..settings import BenchSettings, ShortenedSettings
from ..store.artifacts import write_csv, write_json
from ..store.compression_file import read_compression
from ..store.environment import capture, cpu_flags
from ..store.retention_file import RetentionFile
from ..tasks.batches import Batch, answers, choose_rows, make_batches
from .chain import shortened_model
from .finetune import finetuned
from .from_settings import given_retention
from .work import Work

log = logging.getLogger(__name__)
ANSWERS = [
    "metric",
    "value",
    "value_low",
    "value_high",
    "value_fp32",
    "answers_differ",
    "logits_differ",
]  # columns of a measured contender


@dataclass(frozen=True)
class Timed:
    """
    Attributes:
        model: the shortened one. whole: the plain one that a compressed model was made of; None where nothing was.
        retention: its configuration.
        timing: see `bench.table.table`.
    """

    model: ShortenedModel
    whole: PreTrainedModel | None
    retention: RetentionFile
    timing: pd.DataFrame


def bench(settings: BenchSettings, work: Work[BenchSettings] | None = None, folder: Path | None = None) -> Timed:
    """Times the shortened model of these settings; trains it first where it has to be trained and is not.

    Args:
        folder: gets retention.json, timing.csv and timing.json.
    """
    work = work or Work(settings)
    model, retention, trained = contender_model(work)
    if folder is not None:
        retention.write(folder / "retention.json")
    whole = whole_of(work, model)
    return Timed(model, whole, retention, time_model(work, model, folder, trained, whole))


def whole_of(work: Work[BenchSettings], model: ShortenedModel) -> PreTrainedModel | None:
    """The plain model that a compressed one is timed against; of one that is given, with random weights."""
    settings = work.settings
    if settings.shortened:
        found = read_compression(settings.shortened_dir)
        return None if found is None else host_of_sizes(model.host, found.layers, found.neurons[0])
    return work.host(finetuned(work).model_dir) if settings.compress.given else None


def contender_model(work: Work[BenchSettings]) -> tuple[ShortenedModel, RetentionFile, bool]:
    """What is timed, and whether it is trained: with given lengths or fractions speed does not depend on the weights.

    Raises:
        PowerbertError: thresholds are given without trained weights, on which the number that passes depends.
    """
    settings, given = work.settings, None
    if not (settings.shortened or settings.checkpoint or settings.compress.given):
        given = given_retention(settings, host_config(settings.model))
    if given is None:
        return *shortened_model(work), True
    if isinstance(given.elimination.retention, Thresholds):
        raise PowerbertError(
            "strategy=threshold: how many word-vectors reach a threshold, and so the speed, depends on the weights; "
            "give trained ones with checkpoint=MODEL or shortened=RUN/model, or leave the retention configuration out"
        )
    log.info("the weights of %s are not trained for this: speed does not depend on them", settings.model.label)
    return ShortenedModel(work.new_host(), given.elimination), given, False


def time_model(
    work: Work[BenchSettings],
    model: ShortenedModel,
    folder: Path | None,
    trained: bool = True,
    whole: PreTrainedModel | None = None,
) -> pd.DataFrame:
    """Times all contenders at each number of threads, length and batch size; measures the answers of those not exact.

    Args:
        folder: gets timing.csv and timing.json, anew after each timing and each measuring of answers, so that a run
            that is stopped leaves what it has.
        trained: the weights are, so that answers mean something.
        whole: see `whole_of`.
    """
    options, before = work.settings.bench, torch.get_num_threads()
    about = {"elimination": to_keys(model.elimination), "environment": capture(work.device)}
    timing, records, models = pd.DataFrame(), list[dict[str, Any]](), models_of(model, whole)
    random_plain = work.settings.shortened is not None and whole is not None
    with_weights = {name: one for name, one in models.items() if not (random_plain and name in ("plain", "packed"))}
    measured = _Answers(work, with_weights) if trained else None
    inputs = calibration_inputs(work) if "int8" in options.precisions and "openvino" in options.engines else []
    with tempfile.TemporaryDirectory() as files:
        try:
            for threads in options.threads or [before]:
                torch.set_num_threads(threads)
                place = Place(work.device, threads, Path(files), inputs)
                peaks = {p: measure_peaks(work.device, DTYPES[p]) for p in options.precisions if p in DTYPES}
                _say_peaks(peaks, threads)
                for seq_len in options.seq_lens or [work.settings.seq_len]:
                    for batch_size in options.batch_sizes or [work.settings.batch_size]:
                        before_it, runs = timing, list(records)
                        for timed, record in _time_at(work, models, place, peaks, seq_len, batch_size, measured):
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


def calibration_inputs(work: Work[ShortenedSettings]) -> list[Batch]:
    """Some training texts, each for itself, drawn with seed: what int8 is calibrated on."""
    train, seq_len = work.material.train, work.settings.seq_len
    rows = [train[i] for i in choose_rows(len(train), CALIBRATED_ON, 1, work.settings.seed)]
    return make_batches(rows, "longest", 1, work.material.collator("max"), "cpu", seq_len)


def _say_peaks(peaks: dict[str, Peaks], threads: int) -> None:
    for precision, peak in peaks.items():
        log.info(
            "bench: this device reaches %.1f GFLOP/s in %s and reads %.1f GB/s, with %d threads",
            *(peak.flops_per_s / 1e9, precision, peak.bytes_per_s / 1e9, threads),
        )


def _time_at(
    work: Work[BenchSettings],
    models: dict[str, nn.Module],
    place: Place,
    peaks: dict[str, Peaks],
    seq_len: int,
    batch_size: int,
    measured: "_Answers | None",
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """The table of one number of threads, length and batch size, and its record for timing.json.

    First without answers, which take longer to measure than times, then with them.
    """
    settings, options, material = work.settings, work.settings.bench, work.material
    drawn = choose_rows(len(material.dev), options.examples, batch_size, settings.seed)
    chosen = [material.dev[i] for i in drawn]
    field = Field(options.models, options.engines, options.paddings, options.precisions)
    contenders, skipped = build_contenders(
        models, chosen, material.collator("max"), field, batch_size, seq_len, place, peaks
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
    record = {
        "rounds": rounds,
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
        holds = [one["value"] >= one["value_fp32"] - settings.max_drop if one else None for one in said]
        inexact = {c.name for c, held in zip(contenders, holds, strict=True) if held is False}
        timing = table(contenders, batch_size, seq_len, inexact)
        if measured is not None:
            timing = pd.concat([timing, pd.DataFrame(said, index=timing.index).reindex(columns=ANSWERS)], axis=1)
            timing["within_max_drop"] = holds
        timing["cpu_flags"] = [" ".join(cpu_flags()) if c.precision != "fp32" else None for c in contenders]
        rows = [{k: None if pd.isna(v) else v for k, v in row.items()} for row in timing.to_dict("records")]
        return timing, {**record, "contenders": rows}

    yield found([{} for _ in contenders])
    if measured is not None and contenders:
        yield found([measured.of(c, seq_len) for c in contenders])


class _Answers:
    """Answers on dev of each way to run a model, beside the same model's in float32; each measured once."""

    def __init__(self, work: Work[BenchSettings], models: dict[str, nn.Module]) -> None:
        self.work, self.settings, self.models = work, work.settings, models
        self._exact: dict[tuple[str, int], np.ndarray] = {}
        self._known: dict[tuple[str, str, str, int], dict[str, Any]] = {}

    def of(self, c: Contender, seq_len: int) -> dict[str, Any]:
        """What `bench.table.compared` says of it, where `bench.accuracy` wants it measured; else nothing."""
        wanted = self.settings.bench.accuracy
        measured = c.model in self.models and (wanted is True or (wanted == "auto" and c.precision != "fp32"))
        return self._of(c, seq_len) if measured else {}

    def _of(self, c: Contender, seq_len: int) -> dict[str, Any]:
        known = (c.model, c.engine, c.precision, seq_len)
        if known not in self._known:
            log.info("bench: the answers of %s/%s/%s on dev", c.model, c.engine, c.precision)
            device = self.work.device if c.engine in TORCH_ENGINES and c.precision in DTYPES else "cpu"
            logits = self._logits(c.run, seq_len, device, c.engine == "compile")
            labels, task = np.asarray(self.work.material.dev["labels"]), self.settings.task
            self._known[known] = compared(logits, self._exact_of(c.model, seq_len), labels, task.metric, task.kind)
        return self._known[known]

    def _exact_of(self, name: str, seq_len: int) -> np.ndarray:
        if (name, seq_len) not in self._exact:
            ((_, model),) = prepared({name: self.models[name]}, "eager", "fp32", self.work.device)
            self._exact[name, seq_len] = self._logits(model, seq_len, self.work.device, False)
        return self._exact[name, seq_len]

    def _logits(self, run: Runner, seq_len: int, device: str, buckets: bool) -> np.ndarray:
        material, size = self.work.material, self.settings.batch_size
        pad = material.collator("max")
        return answers(run, material.dev, pad, size, device, seq_len=seq_len, buckets=buckets).logits


def profiled(work: Work[BenchSettings], found: Timed) -> tuple[pd.DataFrame, int]:
    """Where the time goes in eager PyTorch, at the first precision and padding, and over how many batches."""
    settings, options, device, material = work.settings, work.settings.bench, work.device, work.material
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
