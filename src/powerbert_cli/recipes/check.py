"""A task as a training would read it: rows, labels, lengths, duplicates; what a search could move; its seconds."""

import hashlib
import logging
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import TrainerCallback

from ..bench.load import cores, load_average
from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..kinds import Kind
from ..method.elimination import plain
from ..method.soft_extract import learning_rates, reach
from ..stages.run import Run
from ..tasks.batches import choose_rows
from ..tasks.metrics import spread
from ..tasks.tokenizing import nearest_seq_len, tokenize
from ..training.classifier import train_classifier
from ..training.soft_search import search_steps
from .pays import pays

log = logging.getLogger(__name__)
PERCENTILES = (50, 75, 90, 95, 99, 100)


def check(job: Run[Any]) -> dict[str, Any]:
    """What there is to be known before a training.

    Returns:
        splits: of each its rows, labels, empty and repeated texts; overlap: dev rows whose text stands in train too;
        lengths, seq_len and cut: word-pieces (or another `unit`) of training rows, their percentiles, ℓ and the share
        that it cuts (none where texts become windows); inputs: what the rows hold;
        search: how far a retention parameter can fall; pays: see `recipes.pays.pays`; seconds: of a step, and of each
        stage on this machine, with their 95% intervals in `ranges`; load: the load average while steps were timed,
        cores and threads.
    """
    settings, kind = job.settings, job.settings.task.of_kind
    data = job.context.data
    splits = {"train": data.train, "dev": data.dev, **({"test": data.test} if data.test is not None else {})}
    texts = {name: _texts(split.rows) for name, split in splits.items()}
    log.info("check: reading %d training %s", len(data.train.rows), settings.task.of_kind.ARE)
    lengths = np.asarray(tokenize(data.train.rows, settings.task.of_kind, job.context.processor, None)["length"])
    seconds, load = _seconds(job)
    host = _host(job)
    return {
        "splits": {name: _split(split, texts[name], settings.task.of_kind) for name, split in splits.items()},
        "overlap": _overlap(texts["train"], texts["dev"]),
        "lengths": {str(p): int(np.percentile(lengths, p, method="higher")) for p in PERCENTILES},
        "seq_len": settings.seq_len,
        "unit": kind.UNIT,
        "inputs": kind.ARE,
        "by_the_papers_rule": nearest_seq_len(lengths) if kind.CUTS else settings.seq_len,
        "cut": 0.0 if settings.task.of_kind.WINDOWS else float(np.mean(lengths > settings.seq_len)),
        "search": _search(job),
        "device": job.context.device,
        "pays": pays(job, host, seconds["dev_row"]),
        "seconds": seconds,
        "load": load,
        "histogram": lengths.tolist(),
    }


def _host(job: Run[Any]) -> Any:
    folder = job.settings.checkpoint_dir
    return job.context.host(folder) if folder else job.context.new_host()


def _texts(rows: Any) -> list[tuple[str, ...]]:
    """The texts of each row; of choices the context, the question and all of them, of words all in one.

    Of files what is known by their content.
    """
    columns = []
    for name, feature in rows.features.items():
        if name in ("label", "file"):
            continue
        if feature == datasets.Value("binary"):
            columns.append([hashlib.sha256(value).hexdigest() for value in _each(rows, name)])
            continue
        listed = isinstance(feature, datasets.List)
        columns.append([" ".join(value) for value in rows[name][:]] if listed else rows[name][:])
    return list(zip(*columns, strict=True))


def _each(rows: Any, name: str) -> Iterator[Any]:
    """The values of a column, of which few are in memory at a time."""
    for batch in rows.select_columns([name]).iter(batch_size=64):
        yield from batch[name]


def _split(split: Any, texts: Sequence[tuple[str, ...]], kind: Kind) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    conflicts = 0
    if "label" in split.rows.column_names:
        found = split.labels
        labels = kind.counts(found)
        conflicts = _conflicts(texts, found)
    counts = Counter(texts)
    return {
        "rows": len(texts),
        "labels": labels,
        "empty": sum(not any(part.strip() for part in row) for row in texts),
        "repeated": len(texts) - len(counts),
        "conflicts": conflicts,
    }


def _conflicts(texts: Sequence[tuple[str, ...]], labels: np.ndarray) -> int:
    """Texts that stand there more than once, with different labels."""
    given: dict[tuple[str, ...], set[Any]] = {}
    for row, label in zip(texts, labels.tolist(), strict=True):
        given.setdefault(row, set()).add(str(label))
    return sum(len(found) > 1 for found in given.values())


def _overlap(train: Sequence[tuple[str, ...]], dev: Sequence[tuple[str, ...]]) -> int:
    known = set(train)
    return sum(row in known for row in dev)


def _search(job: Run[Any]) -> dict[str, Any]:
    settings, plan = job.settings, job.context.plan(job.settings.search)
    steps = search_steps(len(job.context.data.train), plan)
    return {
        "regularizer": settings.regularizer,
        "steps": steps,
        "reach": reach(learning_rates(steps, settings.training.warmup_ratio, settings.lr_soft)),
    }


class _Clock(TrainerCallback):
    """Seconds of each optimiser step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def _seconds(job: Run[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a training step and a dev row, measured; of the stages, by their number of steps.

    The steps are those of a real training, on rows whose lengths are spread like all rows'. A stage's range is that of
    the t-interval of the mean step, no lower than with the fastest step alone. It knows of what disturbed single steps,
    not of what slowed them all: that the load tells.
    """
    settings, material = job.settings, job.context.material
    size, count = settings.batch_size, len(material.train)
    wanted = (settings.check.steps + 1) * size
    few = material.train.select(sorted(choose_rows(count, min(wanted, count), size, settings.seed)))
    dev = material.dev.select(choose_rows(len(material.dev), min(8 * size, len(material.dev)), size, settings.seed))
    host = _host(job)
    model, clock = ShortenedModel(host, plain(settings.seq_len, layers_of(host.config))), _Clock()
    plan = replace(job.context.plan(settings.finetune), epochs=1, resumes=False)
    log.info("check: timing %d training steps", settings.check.steps)
    before = load_average()
    with tempfile.TemporaryDirectory(dir=settings.output_dir) as folder:
        train_classifier(model, replace(material, train=few, dev=dev), plan, Path(folder), [clock])
    start = time.perf_counter()
    job.context.answers(model, dev, settings.training.precision)
    row = (time.perf_counter() - start) / len(dev)
    loads = [load for load in (before, load_average()) if load is not None]
    load = {"average": max(loads, default=None), "cores": cores(), "threads": torch.get_num_threads()}
    steps = _steps(clock.seconds[1:] or clock.seconds)  # the first one warms up; few rows have no other
    stages = {"finetune": settings.finetune, "search": settings.search, "retrain": settings.retrain}

    def of(step: float) -> dict[str, float]:
        per_epoch = math.ceil(count / size) * step + row * len(material.dev)
        return {name: stage.epochs * per_epoch for name, stage in stages.items()}

    step, low, high = steps
    ranges = {name: [of(low)[name], of(high)[name]] for name in stages}
    return {"step": step, "step_range": [low, high], "dev_row": row, **of(step), "ranges": ranges}, load


def _steps(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Mean seconds of a step, and between what they lie; of a single step itself."""
    if len(seconds) == 1:
        return (seconds[0],) * 3
    over = spread(np.asarray(seconds))
    return over.mean, max(over.low, min(seconds)), over.high
