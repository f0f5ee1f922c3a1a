"""A finished model directory that answers rows, in any engine of `bench`."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from ..bench.contenders import TORCH_ENGINES, inputs_on, prepared
from ..bench.engines import lengths_an_octave, runner
from ..bench.int8 import CALIBRATED_ON
from ..bench.place import DTYPES, Place, Runner, Unavailable
from ..encoder.answered import logits_of
from ..encoder.families import is_multiple_choice, layers_of
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..kinds import Kind
from ..method.elimination import plain
from ..models.classes import kind_of
from ..models.kinds import load_shortened
from ..models.loading import check_fits
from ..models.model_dir import RETENTION, load_plain
from ..models.processors import processing_of
from ..models.weights import ModelError
from ..settings import CALIBRATED, PredictSettings, TaskSettings
from ..settings.folders import exported
from ..store.task_file import TaskFile, read_task
from ..tasks.batch import Batch
from ..tasks.batches import choose_rows, make_batches
from ..tasks.sources import load_task
from ..tasks.tokenizing import tokenize
from ..training.diverged import check_finite
from ..training.trainer import resolve_device
from .asking import Asked, Columns
from .survivors import words_left


@dataclass
class Done:
    """
    Attributes:
        rows: answered. skipped: that could not be read. seconds: from the first row on. model_seconds: of that in the
            model alone.
    """

    rows: int = 0
    skipped: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0


@dataclass(frozen=True)
class NoWeights:
    """A model of which an engine's file is all there is, and what is known of it."""

    config: Any
    seq_len: int


@dataclass
class Chunk:
    """Rows that are answered together, and inputs and word-pieces of the good ones."""

    asked: list[Asked]
    inputs: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)


class Predictor:
    """A model directory's model in an engine, and what its logits mean.

    Args:
        files: a folder for the engine's files.

    Raises:
        PowerbertError: it cannot be had.
    """

    def __init__(self, settings: PredictSettings, files: Path) -> None:
        folder = settings.folder
        self.settings, self.files = settings, files
        self.task = read_task(folder)
        self.exported = exported(folder)
        found = self._found(folder)
        self.kind = _kind_of(found.config, self.task, str(folder))
        processing = processing_of(self.kind)
        self.processor = processing.load(str(folder), "copy those files beside the model")
        self.processor = processing.fit(self.processor, found.config, str(folder))
        self.model: ShortenedModel | NoWeights
        if isinstance(found, ShortenedModel | NoWeights):
            self.model = found
        else:
            trained = None if self.task is None else self.task.seq_len
            most = settings.seq_len or trained or processing.most(self.processor, found.config)
            self.model = _whole(found, most)
        whole = processing.most(self.processor, found.config)
        if not self.kind.CUTS and settings.seq_len not in (None, whole):
            raise PowerbertError(
                f"seq_len={settings.seq_len}: the model makes {whole} word-vectors of each input, and {self.kind.ARE} "
                "are not cut; leave seq_len out"
            )
        self.seq_len = min(settings.seq_len or self.model.seq_len, self.model.seq_len)
        self.together = self.kind.at_once(settings.predict.together)
        self.engine, self.precision = settings.runs
        self.buckets = lengths_an_octave(self.engine, "longest")
        how = {"padding": "max_length", "max_length": self.seq_len} if self.buckets else {"padding": "longest"}
        self.pad = self.kind.collator(self.processor, **how)
        in_torch = self.engine in TORCH_ENGINES and self.precision in DTYPES
        self.device = resolve_device(settings.device) if in_torch else "cpu"
        self._run: Runner | None = None

    def refused(self, inputs: dict[str, Any]) -> str | None:
        """Why the model cannot answer a row's inputs; None if it can."""
        return self.kind.refused(inputs, self.processor, self.seq_len)

    def _found(self, folder: Path) -> ShortenedModel | PreTrainedModel | NoWeights:
        if self.exported is not None and not self.exported.weights:
            if self.settings.predict.survivors:
                raise PowerbertError(
                    f"predict.survivors=true needs the weights, and model_dir={folder} was exported for "
                    f"{self.exported}; give the model directory that it was made of"
                )
            return NoWeights(AutoConfig.from_pretrained(folder), self.exported.seq_len)
        return load_shortened(folder) if (folder / RETENTION).is_file() else load_plain(folder)

    def _runner(self) -> Runner:
        if self._run is None:
            engine, precision = self.engine, self.precision
            ready = self.exported is not None and (engine, precision) == self.exported.runs
            calibrates = precision == "int8" and engine in CALIBRATED and not ready
            inputs = self._calibration() if calibrates else []
            place = Place(self.device, torch.get_num_threads(), self.files, inputs, self.exported)
            models: dict[str, Any] = {"shortened": self.model}
            ((name, model),) = prepared(models, engine, precision, self.device)
            try:
                self._run = runner(engine, name, model, precision, place)
            except Unavailable as error:
                raise PowerbertError(f"engine={engine} precision={precision}: {error}") from error
        return self._run

    def _calibration(self) -> list[Batch]:
        """Training texts, each for itself, as `export` calibrates on: never what is to be answered."""
        task = {} if self.task is None else self.task.task
        if not any(task.get(name) for name in ("data_dir", "hub_path", "synthetic")):
            given = self.settings.model_dir
            raise PowerbertError(
                f"engine={self.engine} precision=int8 is calibrated on training texts, and the model "
                "directory does not say where they are; set precision=fp32, or write a file once: powerbert export "
                f"model_dir={given} task.data_dir=FOLDER engine={self.engine} precision=int8"
            )
        train = load_task(TaskSettings(**{"data_dir": None, **Kind.OPTIONS, **task})).train.rows
        few = train.select(choose_rows(len(train), CALIBRATED_ON, 1, 0))
        tokens = tokenize(few, self.kind, self.processor, self.seq_len).select(range(CALIBRATED_ON))
        return [self._batch([row]) for row in tokens]

    def _batch(self, rows: list[dict[str, Any]]) -> Batch:
        device = inputs_on(self.engine, self.precision, self.device)
        return make_batches(rows, "longest", len(rows), self.pad, device, self.seq_len, self.buckets)[0]

    def tokenised(self, chunk: Chunk) -> Chunk:
        """The same with the word-pieces of its good rows."""
        chunk.inputs = [asked.inputs for asked in chunk.asked if asked.inputs is not None]
        if not chunk.inputs:
            return chunk
        columns = {name: [row[name] for row in chunk.inputs] for name in chunk.inputs[0]}
        encoded = self.kind.encode(columns, self.processor, self.seq_len)
        chunk.tokens = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
        return chunk

    @torch.inference_mode()
    def answers(self, chunk: Chunk, plan: Columns, done: Done) -> list[dict[str, Any]]:
        """A row for each good one, in order; counts them and the time in `done`.

        Raises:
            Diverged: a logit is not finite.
        """
        if not chunk.tokens:
            return []
        run, tokens, size = self._runner(), chunk.tokens, self.settings.batch_size
        order = sorted(range(len(tokens)), key=lambda i: -tokens[i]["length"])
        logits: list[Any] = [None] * len(tokens)
        start = time.perf_counter()
        for begin in range(0, len(order), size):
            index = order[begin : begin + size]
            batch = self._batch([tokens[i] for i in index])
            output = run(**batch)
            found = torch.as_tensor(logits_of(output)).float().cpu().numpy()
            check_finite(found, "the model's logits", "its weights are damaged, or made for another precision")
            for i, own in zip(index, found, strict=True):
                logits[i] = own
        done.model_seconds += time.perf_counter() - start
        answered = self.kind.answers(logits, tokens, chunk.inputs)
        done.rows += len(answered)
        kept = (asked.kept for asked in chunk.asked if not asked.wrong)
        rows = [dict(zip(plan.kept.values(), values, strict=True)) for values in kept]
        words = self._survivors(chunk) if self.settings.predict.survivors else [{}] * len(rows)
        for row, answer, left in zip(rows, answered, words, strict=True):
            row |= answer | left
        return rows

    def _survivors(self, chunk: Chunk) -> list[dict[str, Any]]:
        assert isinstance(self.model, ShortenedModel)
        texts = [self.kind.texts(row) or () for row in chunk.inputs]
        found = words_left(self.model, self.processor, texts, self.settings.batch_size, self.device)
        return [{"words": words} for words in found]


def _kind_of(config: Any, task: TaskFile | None, folder: str) -> Kind:
    """What a model answers, by its config, and by its task where that is of the same kind.

    Raises:
        PowerbertError: nothing that `predict` can write.
    """
    if is_multiple_choice(config):
        raise PowerbertError(f"model_dir={folder}: is for multiple choice, and predict answers texts one by one")
    try:
        return kind_of(config, {} if task is None else task.task)
    except ModelError as error:
        raise PowerbertError(f"model_dir={folder}: {error}") from error


def _whole(host: PreTrainedModel, seq_len: int) -> ShortenedModel:
    """This encoder around a plain model, with everything kept: its rows are packed."""
    check_fits(host.config, seq_len)
    return ShortenedModel(host, plain(seq_len, layers_of(host.config))).eval()
