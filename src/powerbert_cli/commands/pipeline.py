"""The stages of the method, each made once for its settings: fine-tune, search, re-train."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..encoder.families import layers_of
from ..encoder.loading import build_host, load_tokenizer
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import Elimination
from ..report.progress import TrainingProgress
from ..settings import FinetuneSettings, RetrainStage, SearchSettings, StageSettings
from ..store.model_dir import fingerprint, load_plain, save_model_dir
from ..store.retention_file import RetentionFile
from ..store.stages import Stage, StageStore
from ..tasks.sources import TaskData, load_task
from ..tasks.tokenizing import build_tokenizer, texts_of, tokenize
from ..training.diverged import Diverged
from ..training.retraining import Answers, answers_of
from ..training.stages import (
    Material,
    train_classifier,
)
from ..training.trainer import Plan, resolve_device
from .elimination import full_elimination, open_elimination
from .results import write_results

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A fine-tuned model to start from, and its identity."""

    model_dir: Path
    identity: str
    stage: Stage | None


class Pipeline:
    """The stages for one set of settings; data and tokenizer are loaded on first use."""

    def __init__(self, settings: FinetuneSettings, fresh: str | None = None, share: "Pipeline | None" = None) -> None:
        """With fresh, a stage's name, that is made anew even if it is finished.

        With share, another pipeline of the same task, model and fine-tuning, what that one has
        loaded is used.
        """
        self.settings = settings
        if share is not None:
            for name in ("data", "tokenizer", "material", "finetuned"):
                setattr(self, name, getattr(share, name))
        self.store = StageStore(Path(settings.output_dir))
        self.fresh = fresh

    @cached_property
    def data(self) -> TaskData:
        data = load_task(self.settings.task)
        log.info("task %s: %d training rows, %d dev rows", self.settings.task.name, len(data.train), len(data.dev))
        return data

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        model = self.settings.start_model
        return load_tokenizer(model) or build_tokenizer(texts_of(self.data.train), model.vocab_size or 30000)

    @cached_property
    def material(self) -> Material:
        task, seq_len = self.settings.task, self.settings.seq_len
        train, dev = (tokenize(rows, self.tokenizer, seq_len) for rows in (self.data.train, self.data.dev))
        longest = max(train["length"])
        log.info("word-pieces: mean %.1f, longest %d, ℓ=%d", float(np.mean(train["length"])), longest, seq_len)
        return Material(train, dev, self.tokenizer, seq_len, task.metric, task.kind)

    def full_lengths(self) -> np.ndarray:
        """Word-pieces of each training input before any is cut."""
        return np.asarray(tokenize(self.data.train, self.tokenizer, None)["length"])

    def new_host(self) -> PreTrainedModel:
        """The model before fine-tuning."""
        settings = self.settings
        return build_host(settings.model, self.tokenizer, settings.task.kind, settings.task.label_names, settings.seed)

    def elimination(self) -> Elimination:
        """How these settings eliminate, with the retention configuration still open."""
        assert isinstance(self.settings, SearchSettings)
        elimination = open_elimination(self.settings)
        if not self.settings.protect_separators:
            return elimination
        separator = self.tokenizer.sep_token_id
        if separator is None:
            raise PowerbertError("protect_separators=true: the tokenizer has no separator; set it to false")
        return replace(elimination, protected_tokens=(separator,))

    @cached_property
    def finetuned(self) -> Start:
        """The fine-tuned model: the checkpoint that was given, or the stage of these settings."""
        settings = self.settings
        if settings.checkpoint:
            return Start(Path(settings.checkpoint), fingerprint(settings.checkpoint), None)

        def make(result: Path, checkpoints: Path) -> None:
            host = self.new_host()
            plain = ShortenedModel(host, full_elimination(settings.seq_len, layers_of(host.config)))
            self.train(plain, "finetune", settings.finetune, result, checkpoints)

        stage = self.store.ensure(
            "finetune",
            {**self.decides(settings.finetune), "model": self._model_identity()},
            make,
            self.is_fresh("finetune"),
        )
        return Start(stage.folder / "model", stage.identity, stage)

    def start_after(self, search: Stage) -> Start:
        """What re-training starts from: the fine-tuned model, or with variant.retrain_from=searched the search's."""
        if self.settings.variant.retrain_from == "searched":
            return Start(search.folder / "model", search.identity, None)
        return self.finetuned

    def retrained(
        self, retention: RetentionFile, start: Start | None = None, stage: RetrainStage | None = None
    ) -> Stage:
        """Re-training with a retention configuration, of the fine-tuned model unless another start is given."""
        settings = self.settings
        assert isinstance(settings, SearchSettings)
        begin, how = start or self.finetuned, stage or settings.retrain
        decides = {
            **self.decides(how),
            "start": begin.identity,
            "elimination": asdict(retention.elimination),
        }
        if how.distills:
            decides["teacher"] = self.finetuned.identity

        def make(result: Path, checkpoints: Path) -> None:
            model = ShortenedModel(load_plain(begin.model_dir), retention.elimination)
            self.train(model, "retrain", how, result, checkpoints, retention)
            retention.write(result / "retention.json")

        return self.store.ensure("retrain", decides, make, self.is_fresh("retrain"))

    @property
    def layers(self) -> int:
        """L of the fine-tuned model."""
        return layers_of(AutoConfig.from_pretrained(self.finetuned.model_dir))

    def baselines(self) -> tuple[Stage, Stage]:
        """The plain model as it is, and with as many epochs more as a shortened one has."""
        settings = self.settings
        assert isinstance(settings, SearchSettings)
        full = RetentionFile(full_elimination(settings.seq_len, self.layers), task=settings.task.name)
        plain = settings.retrain.plain()
        as_it_is = self.finetuned.stage or self.retrained(full, stage=replace(plain, epochs=0))
        return as_it_is, self.retrained(full, stage=plain)

    def teacher(self, first: bool) -> Answers:
        """The fine-tuned model's answers on the training rows; made once, for all re-trainings from it.

        Args:
            first: also its last [CLS] vectors.
        """
        settings, start = self.settings, self.finetuned
        decides = {
            "data": self.data.fingerprint,
            "start": start.identity,
            "seq_len": settings.seq_len,
            "precision": settings.training.precision,
            "first": first,
        }

        def make(result: Path, checkpoints: Path) -> None:
            log.info("distill: %s answers the training rows", settings.start_model.label)
            model = ShortenedModel(load_plain(start.model_dir), full_elimination(settings.seq_len, self.layers))
            model.to(resolve_device(settings.device))
            answers = answers_of(
                model,
                self.material.train,
                self.material.collator("longest"),
                settings.batch_size,
                settings.training.precision,
                first,
            )
            given = {"logits": answers.logits, "first": answers.first}
            save_numpy({name: part for name, part in given.items() if part is not None}, result / "answers.safetensors")

        stage = self.store.ensure("teacher", decides, make, fresh=False)
        found = load_numpy(stage.folder / "answers.safetensors")
        return Answers(found["logits"], found.get("first"))

    def is_fresh(self, stage: str) -> bool:
        return self.fresh == stage

    def decides(self, stage: StageSettings | None) -> dict[str, Any]:
        """What decides the result of any stage; None is one that does not train."""
        settings, training = self.settings, asdict(self.settings.training)
        common = {
            "data": self.data.fingerprint,
            "metric": settings.task.metric if settings.variant.best_by == "metric" else settings.variant.best_by,
            "seq_len": settings.seq_len,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
        }
        if stage is None:
            return common | {"precision": training["precision"]}
        return common | stage.decides() | {name: value for name, value in training.items() if value is not None}

    def _model_identity(self) -> Any:
        model = self.settings.model
        if model.name_or_path is None:
            return {"config": model.config, "tokenizer": model.tokenizer, "vocab_size": model.vocab_size}
        folder = Path(model.name_or_path).expanduser()
        return fingerprint(folder) if folder.is_dir() else model.name_or_path

    def plan(self, stage: StageSettings) -> Plan:
        settings = self.settings
        return Plan(
            stage.lr,
            stage.epochs,
            settings.batch_size,
            settings.seed,
            settings.training,
            settings.device,
            settings.runtime.workers,
            settings.variant.best_by,
            settings.runtime.save_minutes,
        )

    def progress(self, stage: str) -> TrainingProgress:
        return TrainingProgress(stage, self.settings.task.metric, self.settings.runtime.log_seconds)

    def train(
        self,
        model: ShortenedModel,
        name: str,
        stage: StageSettings,
        result: Path,
        checkpoints: Path,
        retention: RetentionFile | None = None,
    ) -> None:
        if stage.epochs:
            log.info("%s: %s, %d epochs, lr %g", name, self.settings.start_model.label, stage.epochs, stage.lr)
        else:
            log.info("%s: %s is measured as it is", name, self.settings.start_model.label)
        options, teacher = stage if isinstance(stage, RetrainStage) else None, None
        if options and options.distills and options.epochs:
            teacher = self.teacher(first=options.distill_cls > 0)
        plan = self.plan(stage)
        trained = with_progress(
            self.progress(name),
            lambda progress: train_classifier(model, self.material, plan, checkpoints, [progress], options, teacher),
        )
        save_model_dir(result / "model", model.host, self.tokenizer, retention)
        write_results(trained, self.settings.task, self.settings.seed, result)


def with_progress(progress: TrainingProgress, work: Callable[[TrainingProgress], Any]) -> Any:
    """Runs work with a progress display that is off the screen afterwards whatever happens."""
    try:
        return work(progress)
    except Diverged as error:
        raise Diverged(f"{progress.stage}: {error}") from error
    finally:
        progress.close()
