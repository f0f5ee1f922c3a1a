"""powerbert predict: answer rows of a file or of standard input."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings.predict import STANDARD, PredictSettings

if TYPE_CHECKING:
    from rich.console import Console

    from ..answering.predict import Progress as Told

SUMMARY = "answer rows of a file or of standard input with a finished model directory"
DETAILS = """On standard output a line has the label and the probability of each class.
Messages go to standard error. A run that was stopped begins anew."""
EXAMPLES = [
    "powerbert predict model_dir=RUN/model input=texts.csv output=answers.csv",
    "zcat texts.jsonl.gz | powerbert predict model_dir=RUN/model predict.input_format=jsonl | head",
    "powerbert predict model_dir=RUN/model input=texts.parquet output=answers.parquet engine=onnx precision=int8",
]


@dataclass(kw_only=True)
class Settings(PredictSettings):
    pass


def run(cfg: Any) -> float:
    """Returns the rows a second."""
    from rich.console import Console

    from ..answering.predict import predict
    from ..settings.typed import from_config

    settings = from_config(cfg, Settings)
    screen = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    try:
        with _shown(screen) as told:
            done = predict(settings, told)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0.0
    except KeyboardInterrupt:  # at once: the thread that reads may wait for standard input for ever
        kept = "" if settings.output == STANDARD else f"; the answers so far are in {settings.output}.part"
        print(f"powerbert: interrupted{kept}; the same command begins anew", file=sys.stderr, flush=True)
        os._exit(130)
    rate = done.rows / done.seconds if done.seconds else 0.0
    skipped = f", {done.skipped} skipped (listed in {settings.output}.errors.tsv)" if done.skipped else ""
    model = done.rows / done.model_seconds if done.model_seconds else 0.0
    screen.print(
        f"{done.rows} rows{skipped} in {done.seconds:.1f} s: {rate:.1f} rows a second, {model:.1f} in the model alone"
    )
    return rate


@contextlib.contextmanager
def _shown(screen: Console) -> Iterator[Told]:
    """A line with rows and their rate, on a terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    if not screen.is_terminal:
        yield lambda rows: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} rows, {task.fields[rate]} a second"))
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=None, rate="…")

        def told(rows: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=rows, rate=f"{speed:.0f}" if speed else "…")

        yield told
