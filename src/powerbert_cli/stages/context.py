"""What all stages of a task and a model work on: data, processor and batches, each loaded once, on first use."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
from transformers import PreTrainedModel, TrainerCallback

from ..encoder.families import usable_positions
from ..encoder.shortened import ShortenedModel
from ..models.loading import build_host, host_config, load_processor
from ..models.model_dir import CONFIG, load_plain, name_classes
from ..models.processors import processing_of
from ..settings import StageSettings
from ..settings.common import Common
from ..settings.composed import TrainedSettings
from ..store.environment import versions
from ..store.task_file import of_settings
from ..tasks.batches import Answers, Material, answers, lengths_of
from ..tasks.sources import TaskData, load_task
from ..tasks.tokenizing import tokenize
from ..training.diverged import Diverged, check_finite
from ..training.trainer import Plan, autocast, resolve_device
from .events import Events, Silent

log = logging.getLogger(__name__)
_LOOKED_AT, _CUT_MATTERS = 2000, 0.05  # rows whose whole length is looked at; share of cut ones that is a warning


class Context:
    """
    Args:
        settings: of which what every verb has is read: task, model, ℓ, batches, how trainings run.
        events: hear of what stages do.
    """

    def __init__(self, settings: Common, events: Events | None = None) -> None:
        self.settings: TrainedSettings = cast(TrainedSettings, settings)  # export's lack what trainings need
        self.events = events or Silent()

    def of(self, settings: Common) -> "Context":
        """The context of other settings of the same task and model: what is loaded stays loaded."""
        other, same = Context(settings, self.events), settings.seq_len == self.settings.seq_len
        kept = ("data", "processor", *(["material"] if same else []))
        vars(other).update({name: vars(self)[name] for name in kept if name in vars(self)})
        return other

    @cached_property
    def data(self) -> TaskData:
        data = load_task(self.settings.task, self.settings.predict_test)
        tests = f", {len(data.test)} test rows" if data.test is not None else ""
        counts = f"{len(data.train)} training rows, {len(data.dev)} dev rows{tests}"
        log.info("task %s: %s", self.settings.task.name, counts)
        return data

    @cached_property
    def processor(self) -> Any:
        """What turns rows into inputs, as `models.processing` has it."""
        settings = self.settings
        return load_processor(settings.start_model, settings.task.of_kind, lambda: self.data.train.rows)

    @cached_property
    def material(self) -> Material:
        kind, seq_len = self.settings.task.of_kind, self.settings.seq_len
        train, dev = (tokenize(split.rows, kind, self.processor, seq_len) for split in (self.data.train, self.data.dev))
        if not kind.CUTS:
            log.info("ℓ=%d word-vectors of each input", seq_len)
        elif not kind.WINDOWS:
            self._say_lengths(train)
        elif len(train) > len(self.data.train):
            log.info("seq_len=%d: %d training texts in %d windows", seq_len, len(self.data.train), len(train))
        for name, rows in (("training", train), ("dev", dev)):
            if said := kind.about(rows, self.processor):
                log.info("%s rows: %s", name, said)
        return Material(train, dev, self.processor, seq_len, kind)

    def _say_lengths(self, inputs: datasets.Dataset) -> None:
        """How long the training inputs are, and loudly how many of them ℓ cuts."""
        seq_len, rows, lengths = self.settings.seq_len, self.data.train.rows, lengths_of(inputs)
        at_end = np.flatnonzero(lengths >= seq_len)
        own = at_end if "row" not in inputs.column_names else np.unique(np.asarray(inputs["row"][:])[at_end])
        few = rows.select(own[: max(1, _LOOKED_AT * len(rows) // len(inputs))])
        kind = self.settings.task.of_kind
        whole = lengths_of(tokenize(few, kind, self.processor, None)) if len(few) else np.zeros(0)
        whole = whole[whole >= seq_len]  # a row may have others too
        cut = float(np.mean(whole > seq_len)) * len(at_end) / len(lengths) if len(few) else 0.0
        after = " after the cut" if cut else ""
        lasts = kind.lasts(seq_len, self.processor)
        shown = float(lengths.mean()), lengths.max(), after, seq_len, lasts
        log.info("%s: mean %.1f, longest %d%s, ℓ=%d%s", kind.UNIT, *shown)
        if cut:
            allowed = int(0.01 * len(lengths) * len(whole) / len(at_end))  # longer ones, of those looked at
            uncut = int(np.sort(whole)[len(whole) - 1 - min(allowed, len(whole) - 1)])
            other = min(uncut, usable_positions(host_config(self.settings.start_model)))
            say = log.warning if cut > _CUT_MATTERS else log.info
            if other <= seq_len:
                said = f"cuts %.1f%% of the training {kind.ARE}; the model takes no longer ones"
                say(f"seq_len=%d {said}", seq_len, 100 * cut)
                return
            left = float(np.mean(whole > other)) * len(at_end) / len(lengths)
            shares = seq_len, 100 * cut, other, 100 * left
            say(f"seq_len=%d cuts %.1f%% of the training {kind.ARE}; seq_len=%d would cut %.1f%%", *shares)

    @property
    def taught(self) -> bool:
        """Whether a model learns from the answers of the one that it starts from alone, for want of labels."""
        kind = self.settings.task.of_kind
        return kind.TAUGHT or (kind.MAY_BE_TAUGHT and not self.data.train.labelled)

    @property
    def device(self) -> str:
        return resolve_device(self.settings.device)

    def new_host(self) -> PreTrainedModel:
        """The model before fine-tuning."""
        settings = self.settings
        return build_host(settings.model, self.processor, settings.task.of_kind, settings.seed)

    def host(self, model_dir: Path) -> PreTrainedModel:
        """A fine-tuned classifier, with the loss of this task: configs of others may not say which."""
        host = load_plain(model_dir)
        kind = self.settings.task.of_kind
        host.config.problem_type = kind.PROBLEM  # type: ignore[assignment]
        for name, value in processing_of(kind).entries(self.processor, self.settings.start_model).items():
            if kind.SPELLS:
                setattr(host.config, name, value)
        return host

    def answers(
        self,
        model: ShortenedModel,
        rows: Any,
        precision: str = "fp32",
        padding: str = "longest",
        states: Sequence[int] = (),
    ) -> Answers:
        """What a model says of tokenised rows; see `tasks.batches.answers`.

        Raises:
            Diverged: a logit is not finite.
        """
        model.to(self.device)
        with autocast(precision, next(model.parameters()).device):
            pad = self.material.collator(padding)
            found = answers(model, rows, pad, self.settings.batch_size, self.device, padding=padding, states=states)
        check_finite(found.logits, "the model's logits", "its weights are damaged, or made for another precision")
        return found

    def common(self) -> dict[str, Any]:
        """The fields that all stages' inputs have."""
        kind = self.settings.task.of_kind
        return {
            "versions": versions(),
            "train": self.data.train.content + (f" stride {kind.stride}" if kind.WINDOWS else ""),
            "tokenizer": processing_of(kind).digest(self.processor),
            "seq_len": self.settings.seq_len,
        }

    def measured(self, trains: bool = True, scores: bool = False) -> dict[str, Any]:
        """The fields of `MeasuredInputs`.

        Args:
            scores: it scores significance, on which padding bears if its queries count.
        """
        settings, training = self.settings, asdict(self.settings.training)
        if not (scores and settings.variant.pad_queries):
            del training["padding"]
        given = {name: value for name, value in training.items() if value is not None}
        return {
            **self.common(),
            "dev": self.data.dev.content,
            "kind": settings.task.of_kind.decides,
            "classes": len(settings.task.label_names or ()),
            "metric": settings.task.metric,
            "best_by": settings.variant.best_by,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            "training": given if trains else {"precision": given["precision"]},
        }

    def describe(self, model_dir: Path) -> None:
        """Has a finished model directory know its task, and call its classes as the task does."""
        settings = self.settings
        if not (model_dir / CONFIG).is_file():
            return
        if settings.task.of_kind.outputs == settings.task.label_names:
            name_classes(model_dir, settings.task.label_names)
        of_settings(settings.task, settings.seq_len).write(model_dir)

    def plan(self, stage: StageSettings) -> Plan:
        """How a training of so many epochs runs."""
        settings = self.settings
        how = (settings.batch_size, settings.seed, settings.training, settings.device, settings.runtime.workers)
        return Plan(stage.lr, stage.epochs, *how, settings.variant.best_by, settings.runtime.save_minutes)

    @contextmanager
    def followed(self, said: str, checkpoints: Path) -> Iterator[list[TrainerCallback]]:
        """Callbacks of a training, for as long as it lasts.

        Args:
            said: what it is, for people. checkpoints: its folder in its stage, which names it to a tracker.
        """
        title = checkpoints.parent.name.removeprefix(".").removesuffix(".work")
        try:
            with self.events.training(said, title) as callbacks:
                yield callbacks
        except Diverged as error:
            raise Diverged(f"{said}: {error}") from error
