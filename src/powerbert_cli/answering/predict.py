"""Rows of a stream, answered by a finished model directory, in any engine of `bench`."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from ..errors import PowerbertError
from ..kinds import Kind
from ..settings import STANDARD, PredictSettings
from ..settings.predict import OF_FILES, VECTORS
from ..tasks.answer_rows import answer_fields, writing_rows
from ..tasks.reading import opened
from ..tasks.rows import Table
from .asking import Asked, Columns, asked_of, columns_of, files_in
from .feeding import Feed, check_somebody_reads, gathered
from .predictor import Chunk, Done, Predictor

_IDLE = 0.2  # seconds without a row on standard input after which those that are there are answered
Progress = Callable[[int], None]


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
    predictor: Predictor,
    rows: Feed[Asked],
    plan: Columns,
    write: Any,
    skip: Callable[[Asked], None],
    progress: Progress,
) -> Done:
    done, settings = Done(), predictor.settings
    streamed = settings.input == STANDARD
    chunks = map(Chunk, gathered(rows, predictor.together, _IDLE if streamed else None))
    ahead = Feed(map(predictor.tokenised, chunks), 1)  # tokenises while the model works
    meanwhile = check_somebody_reads if settings.output == STANDARD else lambda: None
    start = time.perf_counter()
    try:
        while found := ahead.take(meanwhile=meanwhile):
            [chunk] = found
            bad = next((asked for asked in chunk.asked if asked.wrong), None)
            if bad is not None and settings.predict.on_error == "stop":
                good = list(itertools.takewhile(lambda asked: not asked.wrong, chunk.asked))
                write(predictor.answers(predictor.tokenised(Chunk(good)), plan, done))
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
