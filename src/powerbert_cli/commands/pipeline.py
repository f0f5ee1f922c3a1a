"""The stages of the method, each made once for its settings: fine-tune, search, re-train."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..encoder.families import layers_of
from ..encoder.loading import PROBLEMS, build_host, host_config, load_tokenizer, other_head, tokenizer_digest
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import Elimination, plain, to_keys
from ..report.progress import TrainingProgress
from ..settings import FinetuneSettings, RetrainStage, SearchSettings, StageSettings
from ..store.artifacts import write_json
from ..store.environment import capture, versions
from ..store.model_dir import fingerprint, load_plain, name_classes, save_model_dir
from ..store.retention_file import RetentionFile
from ..store.stages import Stage, StageStore, export
from ..tasks.sources import TaskData, load_task
from ..tasks.tokenizing import build_tokenizer, texts_of, tokenize
from ..training.diverged import Diverged
from ..training.retraining import Answers, answers_of
from ..training.stages import Material, Trained, train_classifier
from ..training.trainer import Plan, resolve_device
from .elimination import unsearched
from .records import FinetuneRecord, Record, RetrainRecord, TeacherRecord, TestedRecord
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
        data = load_task(self.settings.task, self.settings.predict_test)
        tests = f", {len(data.test)} test rows" if data.test is not None else ""
        counts = f"{len(data.train)} training rows, {len(data.dev)} dev rows{tests}"
        log.info("task %s: %s", self.settings.task.name, counts)
        return data

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        model = self.settings.start_model
        return load_tokenizer(model) or build_tokenizer(texts_of(self.data.train.rows), model.vocab_size or 30000)

    @cached_property
    def material(self) -> Material:
        task, seq_len = self.settings.task, self.settings.seq_len
        train, dev = (tokenize(part.rows, self.tokenizer, seq_len) for part in (self.data.train, self.data.dev))
        longest = max(train["length"])
        log.info("word-pieces: mean %.1f, longest %d, ℓ=%d", float(np.mean(train["length"])), longest, seq_len)
        return Material(train, dev, self.tokenizer, seq_len, task.metric, task.kind)

    def full_lengths(self) -> np.ndarray:
        """Word-pieces of each training input before any is cut."""
        return np.asarray(tokenize(self.data.train.rows, self.tokenizer, None)["length"])

    def new_host(self) -> PreTrainedModel:
        """The model before fine-tuning."""
        settings = self.settings
        return build_host(settings.model, self.tokenizer, settings.task.kind, settings.task.label_names, settings.seed)

    def host(self, model_dir: Path) -> PreTrainedModel:
        """A fine-tuned classifier, with the loss of this task: configs of others may not say which."""
        host = load_plain(model_dir)
        host.config.problem_type = PROBLEMS[self.settings.task.kind]  # type: ignore[assignment]
        return host

    def elimination(self) -> Elimination:
        """How these settings eliminate, before the retention configuration is searched: nothing is dropped yet."""
        assert isinstance(self.settings, SearchSettings)
        elimination = unsearched(self.settings, self.layers)
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
        record = FinetuneRecord(
            **self.measured(settings.finetune),
            start=self._model_identity(),
            new_head=other_head(settings.model, settings.task.kind, settings.task.label_names) is not None,
            stage=settings.finetune.decides(),
        )

        def make(result: Path, checkpoints: Path) -> None:
            host = self.new_host()
            whole = ShortenedModel(host, plain(settings.seq_len, layers_of(host.config)))
            self.train(whole, "finetune", settings.finetune, result, checkpoints)

        stage = self.ensure(record, make)
        return Start(stage.folder / "model", fingerprint(stage.folder / "model"), stage)

    def start_after(self, search: Stage) -> Start:
        """What re-training starts from: the fine-tuned model, or with variant.retrain_from=searched the search's."""
        if self.settings.variant.retrain_from == "searched":
            return Start(search.folder / "model", fingerprint(search.folder / "model"), None)
        return self.finetuned

    def retrained(
        self, retention: RetentionFile, start: Start | None = None, stage: RetrainStage | None = None
    ) -> Stage:
        """Re-training with a retention configuration, of the fine-tuned model unless another start is given."""
        settings = self.settings
        assert isinstance(settings, SearchSettings)
        begin, how = start or self.finetuned, stage or settings.retrain
        record = RetrainRecord(
            **self.measured(how, scores=True),
            start=begin.identity,
            elimination=to_keys(retention.elimination),
            stage=how.decides(),
            teacher=self.finetuned.identity if how.distills else None,
        )

        def make(result: Path, checkpoints: Path) -> None:
            model = ShortenedModel(self.host(begin.model_dir), retention.elimination)
            self.train(model, "retrain", how, result, checkpoints, retention)
            retention.write(result / "retention.json")

        return self.ensure(record, make)

    @property
    def layers(self) -> int:
        """L of the fine-tuned model."""
        return layers_of(AutoConfig.from_pretrained(self.finetuned.model_dir))

    def baselines(self) -> tuple[Stage, Stage]:
        """The plain model as it is, and with as many epochs more as a shortened one has."""
        settings = self.settings
        assert isinstance(settings, SearchSettings)
        full = RetentionFile(plain(settings.seq_len, self.layers), task=settings.task.name)
        longer = settings.retrain.plain()
        as_it_is = self.finetuned.stage or self.retrained(full, stage=replace(longer, epochs=0))
        return as_it_is, self.retrained(full, stage=longer)

    def teacher(self, first: bool) -> Answers:
        """The fine-tuned model's answers on the training rows; made once, for all re-trainings from it.

        Args:
            first: also its last [CLS] vectors.
        """
        settings, start = self.settings, self.finetuned
        precision = settings.training.precision
        record = TeacherRecord(**self.common(), start=start.identity, precision=precision, first=first)

        def make(result: Path, checkpoints: Path) -> None:
            log.info("distill: %s answers the training rows", settings.start_model.label)
            model = ShortenedModel(self.host(start.model_dir), plain(settings.seq_len, self.layers))
            model.to(resolve_device(settings.device))
            answers = answers_of(
                model,
                self.material.train,
                self.material.collator("longest"),
                settings.batch_size,
                precision,
                first,
            )
            given = {"logits": answers.logits, "first": answers.first}
            save_numpy({name: part for name, part in given.items() if part is not None}, result / "answers.safetensors")

        stage = self.ensure(record, make)
        found = load_numpy(stage.folder / "answers.safetensors")
        return Answers(found["logits"], found.get("first"))

    def tested(self, model_dir: Path, shorten: Callable[[], ShortenedModel]) -> Stage:
        """The metric of a finished model on the test split, which nothing was chosen on.

        Args:
            model_dir: what `shorten` loads.
        """
        settings, data = self.settings, self.data
        assert data.test is not None
        test, model = data.test, shorten()
        record = TestedRecord(
            **self.common(),
            test=test.content,
            model=fingerprint(model_dir),
            elimination=to_keys(model.elimination),
            kind=settings.task.kind,
            metric=settings.task.metric,
        )

        def make(result: Path, checkpoints: Path) -> None:
            log.info("measuring %d test rows", len(test))
            tokens = tokenize(test.rows, self.tokenizer, settings.seq_len)
            model.to(resolve_device(settings.device))
            collate = self.material.collator("longest")
            answers = answers_of(model, tokens, collate, settings.batch_size, precision="fp32", first=False)
            found = Trained(answers.logits.astype(np.float64), test.labels, pd.DataFrame())
            write_results(found, settings.task, settings.seed, result, split="test")

        return self.ensure(record, make)

    def ensure(self, record: Record, make: Callable[[Path, Path], None]) -> Stage:
        """The finished stage of a record, with the environment of the process that made it."""

        def made(result: Path, checkpoints: Path) -> None:
            make(result, checkpoints)
            write_json(result / "environment.json", capture(resolve_device(self.settings.device)))

        return self.store.ensure(record.STAGE, record.decides(), made, fresh=self.fresh == record.STAGE)

    def export(self, stage: Stage, run_dir: Path) -> None:
        """Puts a stage's artifacts into a run directory; the model there calls its classes as the task does."""
        export(stage.folder, run_dir)
        if self.settings.task.kind in ("classification", "multi_label"):
            name_classes(run_dir / "model", self.settings.task.label_names)

    def common(self) -> dict[str, Any]:
        """The fields of every record."""
        return {
            "versions": versions(),
            "train": self.data.train.content,
            "tokenizer": tokenizer_digest(self.tokenizer),
            "seq_len": self.settings.seq_len,
        }

    def measured(self, stage: StageSettings | None, scores: bool = False) -> dict[str, Any]:
        """The fields of a record of a stage that ends with a metric.

        Args:
            stage: None for one that does not train.
            scores: it scores significance, on which padding bears if its queries count.
        """
        settings, training = self.settings, asdict(self.settings.training)
        if not (scores and settings.variant.pad_queries):
            del training["padding"]
        given = {name: value for name, value in training.items() if value is not None}
        return {
            **self.common(),
            "dev": self.data.dev.content,
            "kind": settings.task.kind,
            "classes": len(settings.task.label_names or ()),
            "metric": settings.task.metric,
            "best_by": settings.variant.best_by,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            "training": {"precision": given["precision"]} if stage is None else given,
        }

    def _model_identity(self) -> Any:
        model = self.settings.model
        if model.name_or_path is None:
            return {"config": model.config, "vocab_size": model.vocab_size}
        folder = Path(model.name_or_path).expanduser()
        if folder.is_dir():
            return fingerprint(folder)
        return {"hub": model.name_or_path, "revision": getattr(host_config(model), "_commit_hash", None)}

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
        write_results(trained, self.settings.task, self.settings.seed, result, best_of=stage.epochs)


def with_progress(progress: TrainingProgress, work: Callable[[TrainingProgress], Any]) -> Any:
    """Runs work with a progress display that is off the screen afterwards whatever happens."""
    try:
        return work(progress)
    except Diverged as error:
        raise Diverged(f"{progress.stage}: {error}") from error
    finally:
        progress.close()
