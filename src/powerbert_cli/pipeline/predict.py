"""Rows of a stream, answered by a finished model directory, in any engine of `bench`."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from transformers import AutoTokenizer, DataCollatorWithPadding, PreTrainedModel

from ..bench.contenders import TORCH_ENGINES, prepared
from ..bench.engines import DTYPES, Place, Runner, Unavailable, runner
from ..bench.int8 import CALIBRATED_ON
from ..encoder.driven import is_choice_model
from ..encoder.families import layers_of, usable_positions
from ..encoder.loading import fit_tokenizer
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import plain
from ..settings import STANDARD, PredictSettings
from ..store.model_dir import RETENTION, load_plain
from ..store.shipped import load_shortened
from ..tasks.batches import Batch, make_batches
from ..tasks.streams import Read, read_rows, writing_rows
from ..training.trainer import resolve_device
from .survivors import layers_left, words_of

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


@dataclass
class _Chunk:
    """Rows that are answered together: as they were read, and the texts and word-pieces of the good ones."""

    read: list[Read]
    texts: list[tuple[str, ...]] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)
    encoding: Any = None


def predict(settings: PredictSettings, progress: Progress = lambda rows: None) -> Done:
    """Answers the rows of an input into an output, in order; see `PredictSettings`.

    Raises:
        PowerbertError: a row that cannot be read, if that stops it; a model, column or engine that cannot be had.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as files:
        predictor = Predictor(settings, Path(files))
        with writing_rows(settings.output, settings.output_format) as write, _side_file(settings) as skip:
            return _answered(predictor, settings, write, skip, progress)


def _answered(
    predictor: "Predictor", settings: PredictSettings, write: Any, skip: Callable[[Read], None], progress: Progress
) -> Done:
    done = Done()
    rows = read_rows(settings.input, settings.input_format, settings.text_columns)
    reader = ThreadPoolExecutor(1)  # reads and tokenises while the model works
    try:
        chunks = _chunks(rows, settings.predict.together)
        ahead = reader.submit(lambda: predictor.tokenised(next(chunks, None)))
        start = time.perf_counter()
        while (chunk := ahead.result()) is not None:
            ahead = reader.submit(lambda: predictor.tokenised(next(chunks, None)))
            bad = next((read for read in chunk.read if read.wrong), None)
            if bad is not None and settings.predict.on_error == "stop":
                good = list(itertools.takewhile(lambda read: not read.wrong, chunk.read))
                write(predictor.answers(predictor.tokenised(_Chunk(good)), done))
                kept = "" if settings.output == STANDARD else f"; {done.rows} answers are in {settings.output}.part"
                raise PowerbertError(
                    f"{settings.input}: {bad.place} {bad.wrong}; mend it, or set predict.on_error=skip to pass such "
                    f"rows over{kept}"
                )
            for read in chunk.read:
                if read.wrong:
                    skip(read)
                    done.skipped += 1
            write(predictor.answers(chunk, done))
            progress(done.rows + done.skipped)
        done.seconds = time.perf_counter() - start
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # it may wait for standard input
    return done


def _chunks(rows: Iterator[Read], size: int) -> Iterator[_Chunk]:
    while read := list(itertools.islice(rows, size)):
        yield _Chunk(read)


@contextmanager
def _side_file(settings: PredictSettings) -> Iterator[Callable[[Read], None]]:
    """What lists the rows that are passed over: OUTPUT.errors.tsv, made when the first comes."""
    path = Path(f"{settings.output}.errors.tsv")
    stream: IO[str] | None = None
    if settings.output != STANDARD:
        path.unlink(missing_ok=True)

    def add(read: Read) -> None:
        nonlocal stream
        if stream is None:
            stream = path.open("w", encoding="utf-8")
            stream.write("place\treason\n")
        stream.write(f"{read.place}\t{read.wrong}\n")

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
        folder = Path(settings.model_dir or "")
        self.settings, self.files = settings, files
        shortened = (folder / RETENTION).is_file()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        if shortened:
            self.model: ShortenedModel = load_shortened(folder)
        else:
            self.model = _whole(load_plain(folder), self.tokenizer, settings.seq_len)
        self.host = self.model.host
        fit_tokenizer(self.tokenizer, self.host.config, str(folder))
        self.seq_len = min(settings.seq_len or self.model.seq_len, self.model.seq_len)
        if is_choice_model(self.host):
            raise PowerbertError(f"model_dir={folder}: is for multiple choice, and predict answers texts one by one")
        config = self.host.config
        self.names = [str(name) for _, name in sorted((config.id2label or {}).items())]
        self.kind = "regression" if config.problem_type == "regression" or len(self.names) == 1 else "classes"
        if config.problem_type == "multi_label_classification":
            self.kind = "labels"
        self.buckets = settings.engine == "compile"  # it compiles for each length
        how = {"padding": "max_length", "max_length": self.seq_len} if self.buckets else {"padding": "longest"}
        self.pad = DataCollatorWithPadding(self.tokenizer, **how)
        in_torch = settings.engine in TORCH_ENGINES and settings.precision in DTYPES
        self.device = resolve_device(settings.device) if in_torch else "cpu"
        self._run: Runner | None = None

    def _runner(self, tokens: Sequence[dict[str, Any]]) -> Runner:
        """Made when the first rows are there, as int8 may be calibrated on them."""
        if self._run is None:
            settings, engine = self.settings, self.settings.engine
            inputs = [self._batch([row]) for row in tokens[:CALIBRATED_ON]]
            place = Place(self.device, torch.get_num_threads(), self.files, inputs)
            ((name, model),) = prepared({"shortened": self.model}, engine, settings.precision, self.device)
            try:
                self._run = runner(engine, name, model, settings.precision, place)
            except Unavailable as error:
                raise PowerbertError(f"engine={engine} precision={settings.precision}: {error}") from error
        return self._run

    def _batch(self, rows: list[dict[str, Any]]) -> Batch:
        return make_batches(rows, "longest", len(rows), self.pad, self.device, self.seq_len, self.buckets)[0]

    def tokenised(self, chunk: _Chunk | None) -> _Chunk | None:
        """The same with the word-pieces of its good rows."""
        if chunk is None:
            return None
        chunk.texts = [read.texts for read in chunk.read if not read.wrong]
        if not chunk.texts:
            return chunk
        firsts, *seconds = map(list, zip(*chunk.texts, strict=True))
        chunk.encoding = self.tokenizer(firsts, *seconds, truncation=True, max_length=self.seq_len, verbose=False)
        columns = dict(chunk.encoding)
        chunk.tokens = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return chunk

    @torch.inference_mode()
    def answers(self, chunk: _Chunk | None, done: Done) -> list[dict[str, Any]]:
        """A row for each good one, in order; counts them and the time in `done`."""
        if chunk is None or not chunk.tokens:
            return []
        run, tokens, size = self._runner(chunk.tokens), chunk.tokens, self.settings.batch_size
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]["input_ids"]))
        logits = np.empty((len(tokens), len(self.names)), dtype=np.float32)
        survivors: list[Any] = [None] * len(tokens)
        start = time.perf_counter()
        for begin in range(0, len(order), size):
            index = order[begin : begin + size]
            batch = self._batch([tokens[i] for i in index])
            output = run(**batch)
            logits[index] = torch.as_tensor(getattr(output, "logits", output)).float().cpu().numpy()
            if self.settings.predict.survivors:
                self.model.to(self.device)
                for i, layers in zip(index, layers_left(self.model, batch), strict=True):
                    survivors[i] = words_of(chunk.encoding, i, chunk.texts[i], layers, self.tokenizer)
        done.model_seconds += time.perf_counter() - start
        done.rows += len(tokens)
        found = list(map(self._said, logits))
        if self.settings.predict.survivors:
            found = [{**row, "words": words} for row, words in zip(found, survivors, strict=True)]
        return found

    def _said(self, logits: np.ndarray) -> dict[str, Any]:
        if self.kind == "regression":
            return {"value": float(logits[0])}
        each = logits.astype(np.float64)
        if self.kind == "labels":
            probabilities = 1 / (1 + np.exp(-each))
            label: Any = [name for name, value in zip(self.names, each, strict=True) if value > 0]
        else:
            probabilities = np.exp(each - each.max())
            probabilities /= probabilities.sum()
            label = self.names[int(each.argmax())]
        return {"label": label, "probability": dict(zip(self.names, map(float, probabilities), strict=True))}


def _whole(host: PreTrainedModel, tokenizer: Any, seq_len: int | None) -> ShortenedModel:
    """This encoder around a plain model, with everything kept: its rows are packed."""
    most = seq_len or min(usable_positions(host.config), int(min(tokenizer.model_max_length, 1 << 20)))
    return ShortenedModel(host, plain(most, layers_of(host.config))).eval()
