"""The stages of the method, each made once for its settings: fine-tune, search, re-train."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..encoder.families import layers_of
from ..encoder.loading import build_host, load_tokenizer
from ..encoder.shortened import SearchModel, ShortenedModel, SoftExtractModel, SoftThresholdModel
from ..errors import PowerbertError
from ..method.elimination import Elimination
from ..method.retention import lengths_from_masses
from ..method.soft_extract import learning_rates, reach
from ..report.progress import TrainingProgress
from ..report.search import draw_search
from ..settings import FinetuneSettings, RetrainSettings, SearchSettings, StageSettings
from ..store.artifacts import whole_file
from ..store.model_dir import fingerprint, load_plain, save_model_dir
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention
from ..store.stages import Stage, StageStore
from ..tasks.sources import TaskData, load_task
from ..tasks.tokenizing import build_tokenizer, texts_of, tokenize
from ..training.stages import (
    Material,
    Searched,
    mean_kept,
    search_retention,
    search_steps,
    train_classifier,
)
from ..training.trainer import Plan
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

    def __init__(self, settings: FinetuneSettings, fresh: str | None = None) -> None:
        """fresh: name of a stage to make anew even if it is finished."""
        self.settings = settings
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
            self._train(plain, "finetune", settings.finetune, result, checkpoints)

        stage = self.store.ensure(
            "finetune",
            {**self._decides(settings.finetune), "model": self._model_identity()},
            make,
            self._is_fresh("finetune"),
        )
        return Start(stage.folder / "model", stage.identity, stage)

    def searched(self) -> Stage:
        """The search of these settings, starting from the fine-tuned model."""
        settings = self.settings
        assert isinstance(settings, SearchSettings)
        start = self.finetuned
        decides = {
            **self._decides(settings.search),
            "start": start.identity,
            "lambda": settings.regularizer_weight,
            "lr_soft": settings.lr_soft,
            "regularizer": settings.regularizer,
            "shield_cls": settings.variant.shield_cls,
            "rounding": settings.variant.rounding,
            "elimination": asdict(self.elimination()),
        }

        def make(result: Path, checkpoints: Path) -> None:
            self._search(start, settings, decides, result, checkpoints)

        return self.store.ensure("search", decides, make, self._is_fresh("search"))

    def retrained(
        self, retention: RetentionFile, start: Start | None = None, stage: StageSettings | None = None
    ) -> Stage:
        """Re-training with a retention configuration, of the fine-tuned model unless another start is given."""
        settings = self.settings
        assert isinstance(settings, RetrainSettings)
        begin, how = start or self.finetuned, stage or settings.retrain
        decides = {
            **self._decides(how),
            "start": begin.identity,
            "elimination": asdict(retention.elimination),
        }

        def make(result: Path, checkpoints: Path) -> None:
            model = ShortenedModel(load_plain(begin.model_dir), retention.elimination)
            self._train(model, "retrain", how, result, checkpoints, retention)
            retention.write(result / "retention.json")

        return self.store.ensure("retrain", decides, make, self._is_fresh("retrain"))

    @property
    def layers(self) -> int:
        """L of the fine-tuned model."""
        return layers_of(AutoConfig.from_pretrained(self.finetuned.model_dir))

    def baselines(self) -> tuple[Stage, Stage]:
        """The plain model as it is, and with as many epochs more as a shortened one has."""
        settings = self.settings
        assert isinstance(settings, RetrainSettings)
        full = RetentionFile(full_elimination(settings.seq_len, self.layers), task=settings.task.name)
        as_it_is = self.finetuned.stage or self.retrained(full, stage=replace(settings.retrain, epochs=0))
        return as_it_is, self.retrained(full)

    def _is_fresh(self, stage: str) -> bool:
        return self.fresh == stage

    def _decides(self, stage: StageSettings) -> dict[str, Any]:
        """What decides the result of any training stage."""
        settings = self.settings
        return {
            "data": self.data.fingerprint,
            "metric": settings.task.metric if settings.variant.best_by == "metric" else settings.variant.best_by,
            "seq_len": settings.seq_len,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
            **asdict(stage),
            **{name: value for name, value in asdict(settings.training).items() if value is not None},
        }

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
        )

    def _progress(self, stage: str) -> TrainingProgress:
        return TrainingProgress(stage, self.settings.task.metric, self.settings.runtime.log_seconds)

    def _train(
        self,
        model: ShortenedModel,
        name: str,
        stage: StageSettings,
        result: Path,
        checkpoints: Path,
        retention: RetentionFile | None = None,
    ) -> None:
        log.info("%s: %s, %d epochs, lr %g", name, self.settings.model.label, stage.epochs, stage.lr)
        trained = _with(
            self._progress(name),
            lambda progress: train_classifier(model, self.material, self.plan(stage), checkpoints, [progress]),
        )
        save_model_dir(result / "model", model.host, self.tokenizer, retention)
        write_results(trained, self.settings.task, self.settings.seed, result)

    def _search(
        self, start: Start, settings: SearchSettings, decides: dict[str, Any], result: Path, checkpoints: Path
    ) -> None:
        plan = self.plan(settings.search)
        self._say_reach(settings, plan)
        model = self._search_model(load_plain(start.model_dir), settings)
        searched = _with(
            self._progress(f"search λ={settings.regularizer_weight:g}"),
            lambda progress: search_retention(
                model,
                self.material,
                plan,
                settings.regularizer_weight,
                settings.lr_soft,
                settings.regularizer == "decoupled",
                checkpoints,
                [progress],
            ),
        )
        save_model_dir(result / "model", model.host, self.tokenizer)
        save_file({"retention_parameters": searched.retention_parameters}, result / "retention_parameters.safetensors")
        write_results(searched.trained, settings.task, settings.seed, result)
        found = self._found(model, searched, settings)
        RetentionFile(
            found,
            task=settings.task.name,
            model=settings.model.label,
            regularizer_weight=settings.regularizer_weight,
            masses=searched.masses,
            provenance=decides,
        ).write(result / "retention.json")
        with whole_file(result / "search.png") as temporary:
            draw_search(searched.retention_parameters, searched.trained.history, found.lengths or (), temporary)

    def _search_model(self, host: PreTrainedModel, settings: SearchSettings) -> SearchModel:
        elimination = self.elimination()
        if elimination.strategy == "threshold":
            return SoftThresholdModel(host, elimination)
        return SoftExtractModel(host, elimination, settings.variant.shield_cls)

    def _found(self, model: SearchModel, searched: Searched, settings: SearchSettings) -> Elimination:
        """What the search found, as a configuration for extract layers."""
        if isinstance(model, SoftThresholdModel):
            found = replace(model.elimination, thresholds=model.thresholds)
            kept = mean_kept(ShortenedModel(model.host, found), self.material, settings.batch_size)
            return replace(found, lengths=lengths_from_masses(kept, settings.seq_len))
        lengths = lengths_from_masses(searched.masses, settings.seq_len, settings.variant.rounding)
        return replace(model.elimination, lengths=lengths)

    def _say_reach(self, settings: SearchSettings, plan: Plan) -> None:
        """Says before a search whether its steps can bring a retention parameter to 0."""
        steps = search_steps(len(self.data.train), plan)
        fall = reach(learning_rates(steps, plan.training.warmup_ratio, settings.lr_soft))
        if settings.regularizer == "decoupled":
            log.info(
                "search: in %d steps at lr_soft=%.3g and λ=%g a retention parameter that the task does not touch falls "
                "by %.2f in layer 1, j times as far in layer j",
                *(steps, settings.lr_soft, settings.regularizer_weight, settings.regularizer_weight * fall),
            )
            return
        log.info(
            "search: in %d steps at lr_soft=%.3g a retention parameter can fall by %.2f", steps, settings.lr_soft, fall
        )
        if fall < 1:
            log.warning(
                "that is less than 1, so no rank can be eliminated fully and different λ may give the same "
                "configuration; set lr_soft=auto or to at least %.2g, or search.epochs to at least %d",
                settings.lr_soft / fall,
                int(np.ceil(plan.epochs / fall)),
            )


def _with(progress: TrainingProgress, work: Callable[[TrainingProgress], Any]) -> Any:
    """Runs work with a progress display that is off the screen afterwards whatever happens."""
    try:
        return work(progress)
    finally:
        progress.close()


def retention_of(stage: Stage) -> RetentionFile:
    """The retention configuration that a search stage found."""
    return read_retention(stage.folder / "retention.json")
