"""Rows of a stream, answered by a finished model directory, in any engine of `bench`."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

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
from ..settings import CALIBRATED, STANDARD, PredictSettings, TaskSettings
from ..settings.folders import exported
from ..settings.predict import OF_FILES, VECTORS
from ..store.task_file import TaskFile, read_task
from ..tasks.answer_rows import answer_fields, writing_rows
from ..tasks.batch import Batch
from ..tasks.batches import choose_rows, make_batches
from ..tasks.reading import opened
from ..tasks.rows import Table
from ..tasks.sources import load_task
from ..tasks.tokenizing import tokenize
from ..training.diverged import check_finite
from ..training.trainer import resolve_device
from .asking import Asked, Columns, asked_of, columns_of, files_in
from .feeding import Feed, check_somebody_reads, gathered
from .survivors import words_left

_IDLE = 0.2  # seconds without a row on standard input after which those that are there are answered
Progress = Callable[[int], None]


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
class _Chunk:
    """Rows that are answered together, and inputs and word-pieces of the good ones."""

    asked: list[Asked]
    inputs: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)


def predict(settings: PredictSettings, progress: Progress = lambda rows: None) -> Done:
    """Answers the rows of an input into an output, in order; see `PredictSettings`.

    Raises:
        PowerbertError: a row that cannot be read, if that stops it; a model, column or engine that cannot be had.
        BrokenPipeError: who read standard output has gone away.
    """
    if settings.runtime.threads:
        torch.set_num_threads(settings.runtime.threads)
    with tempfile.TemporaryDirectory() as files:
        predictor = Predictor(settings, Path(files))
        with _table(settings, predictor.kind) as table:
            plan = columns_of(settings, table, predictor.task, predictor.kind)
            if settings.output_format == VECTORS and not predictor.kind.TAUGHT:
                raise PowerbertError(
                    f"output={settings.output}: npy is for vectors, and this model answers with "
                    f"{', '.join(predictor.kind.answer_types())}; take tsv, csv, jsonl or parquet"
                )
            fields = plan.fields(table) | answer_fields(predictor.kind, settings.predict.survivors)
            asked = asked_of(table, plan, predictor.kind, _folder(settings), predictor.refused)
            rows = Feed(asked, 2 * predictor.together)
            answers = writing_rows(settings.output, settings.output_format, fields)
            try:
                with answers as write, _side_file(settings) as skip:
                    return _answered(predictor, rows, plan, write, skip, progress)
            finally:
                rows.stop()


def _answered(
    predictor: "Predictor",
    rows: Feed[Asked],
    plan: Columns,
    write: Any,
    skip: Callable[[Asked], None],
    progress: Progress,
) -> Done:
    done, settings = Done(), predictor.settings
    streamed = settings.input == STANDARD
    chunks = map(_Chunk, gathered(rows, predictor.together, _IDLE if streamed else None))
    ahead = Feed(map(predictor.tokenised, chunks), 1)  # tokenises while the model works
    meanwhile = check_somebody_reads if settings.output == STANDARD else lambda: None
    start = time.perf_counter()
    try:
        while found := ahead.take(meanwhile=meanwhile):
            [chunk] = found
            bad = next((asked for asked in chunk.asked if asked.wrong), None)
            if bad is not None and settings.predict.on_error == "stop":
                good = list(itertools.takewhile(lambda asked: not asked.wrong, chunk.asked))
                write(predictor.answers(predictor.tokenised(_Chunk(good)), plan, done))
                kept = "" if settings.output == STANDARD else f"; {done.rows} answers are in {settings.output}.part"
                raise PowerbertError(
                    f"{settings.input}: {bad.place} {bad.wrong}; mend it, or set predict.on_error=skip to pass such "
                    f"rows over{kept}"
                )
            for asked in chunk.asked:
                if asked.wrong:
                    skip(asked)
                    done.skipped += 1
            write(predictor.answers(chunk, plan, done))
            progress(done.rows + done.skipped)
        done.seconds = time.perf_counter() - start
    finally:
        ahead.stop()
    return done


@contextmanager
def _table(settings: PredictSettings, kind: Kind) -> Iterator[Table]:
    medium = OF_FILES.get(settings.input_format)
    if medium is not None:
        yield files_in(settings.input, kind.MEDIUM or medium)
        return
    with opened(settings.input, settings.input_format) as table:
        yield table


def _folder(settings: PredictSettings) -> Path:
    """Where paths in the rows begin: beside a file with columns, else here."""
    here = settings.input == STANDARD or settings.input_format in ("lines", *OF_FILES)
    return Path() if here else Path(settings.input).parent


@contextmanager
def _side_file(settings: PredictSettings) -> Iterator[Callable[[Asked], None]]:
    """What lists the rows that are passed over: OUTPUT.errors.tsv, made when the first comes."""
    path = Path(f"{settings.output}.errors.tsv")
    stream: IO[str] | None = None
    if settings.output != STANDARD:
        path.unlink(missing_ok=True)

    def add(asked: Asked) -> None:
        nonlocal stream
        if stream is None:
            stream = path.open("w", encoding="utf-8")
            stream.write("place\treason\n")
        stream.write(f"{asked.place}\t{asked.wrong}\n")

    try:
        yield add
    finally:
        if stream is not None:
            stream.close()


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

    def tokenised(self, chunk: _Chunk) -> _Chunk:
        """The same with the word-pieces of its good rows."""
        chunk.inputs = [asked.inputs for asked in chunk.asked if asked.inputs is not None]
        if not chunk.inputs:
            return chunk
        columns = {name: [row[name] for row in chunk.inputs] for name in chunk.inputs[0]}
        encoded = self.kind.encode(columns, self.processor, self.seq_len)
        chunk.tokens = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
        return chunk

    @torch.inference_mode()
    def answers(self, chunk: _Chunk, plan: Columns, done: Done) -> list[dict[str, Any]]:
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

    def _survivors(self, chunk: _Chunk) -> list[dict[str, Any]]:
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
