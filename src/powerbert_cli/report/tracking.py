"""Experiment trackers: trainings through transformers' integrations, what a run found through the tracker itself."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import TrainerCallback

from .. import processes
from ..errors import PowerbertError, brings
from .facts import facts

log = logging.getLogger(__name__)
PROJECT = "powerbert"
_FILES = (".json", ".csv", ".yaml", ".png", ".html")  # of a run's own folder; models stay where they are


class TrackingError(PowerbertError):
    """A tracker that cannot be used."""


def check_tracker(name: str | None) -> None:
    """
    Raises:
        TrackingError: its package is missing.
    """
    if name is not None and find_spec(name) is None:
        raise TrackingError(f"tracking={name} needs a package: {brings(name)}")


class _Titled(TrainerCallback):
    """Gives a training the name under which a tracker shows it."""

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        args.run_name = self.title


@contextlib.contextmanager
def tracked(name: str | None, title: str, output_dir: Path) -> Iterator[list[TrainerCallback]]:
    """Callbacks with which a tracker follows one training; the tracker's run ends with the block.

    Args:
        name: tensorboard, mlflow, wandb; None for no tracker.
        title: of the training; with TensorBoard the same title goes on in the same folder.
        output_dir: where a tracker that has no server of its own writes.
    """
    if name is None or not processes.is_main():
        yield []
        return
    with _TRAININGS[name](title, output_dir) as callback:
        yield [_Titled(title), callback]


def leave(name: str | None, folder: Path, output_dir: Path) -> None:
    """Gives a tracker what a finished run or sweep found: numbers, settings, tables, pictures and files.

    The run is finished and written: a tracker that fails is a warning.

    Args:
        folder: the run's or the sweep's directory.
    """
    if name is None or not processes.is_main():
        return
    try:
        _LEAVE[name](found_in(folder, output_dir), output_dir)
    except Exception as error:  # of any kind: foreign code, and often a server's
        log.warning("tracking=%s failed: %s; all that the run found is in %s", name, error, folder)
        log.debug("traceback", exc_info=True)


@dataclass(frozen=True)
class Found:
    """
    Attributes:
        title: the folder as output_dir has it: sweep/2030-01-31/12-00-00.
        numbers: dev/matthews, bench/shortened/eager/fp32/sorted/b32-l64/speedup …; bench/speedup_vs_best is the speed
            that counts, see `bench.choice.headline`.
        tables: name → what timing.csv or sweep.csv holds.
    """

    title: str
    numbers: dict[str, float]
    settings: dict[str, str]
    tables: dict[str, pd.DataFrame]
    files: list[Path]


def found_in(folder: Path, output_dir: Path) -> Found:
    """What a tracker shows of a run or a sweep."""
    folder, home = folder.resolve(), output_dir.resolve()
    title = str(folder.relative_to(home)) if folder.is_relative_to(home) else folder.name
    paths = (folder / f"{name}.csv" for name in ("timing", "sweep"))
    tables = {path.stem: pd.read_csv(path) for path in paths if path.is_file()}
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _FILES)
    if "sweep" in tables:
        return Found(title, {}, {}, tables, files)
    run = facts(folder, folder)
    return Found(title, dict(_numbers(run)), run["settings"], tables, files)


def _numbers(run: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for split, metrics in (("dev", run["metrics"]), ("test", run["test"])):
        if metrics:
            yield f"{split}/{metrics['metric']}", metrics["value"]
            low, high = metrics["interval"]
            yield from ((f"{split}/{metrics['metric']}_low", low), (f"{split}/{metrics['metric']}_high", high))
    if run["kept"] is not None:
        yield "retention/kept_share", run["kept"]
    for row in run["timing"]:
        size = f"b{row['batch_size']}-l{row['seq_len']}"
        where = "/".join([row["model"], *row["where"].split(", "), row["padding"], size])
        yield f"bench/{where}/ms", row["ms"]
        if not row["counts"]:  # its answers are too far from float32's
            yield f"bench/{where}/within_max_drop", 0.0
            continue
        for name, interval in (("speedup", "interval"), ("speedup_vs_best", "best_interval")):
            ratio = row["best" if name == "speedup_vs_best" else name]
            if ratio is not None:
                yield from _with_ends(f"bench/{where}/{name}", ratio, row[interval])
    if run["fastest"] is not None:
        yield from _with_ends("bench/speedup_vs_best", run["fastest"]["best"], run["fastest"]["best_interval"])


def _with_ends(name: str, ratio: float, interval: tuple[float, float] | None) -> Iterator[tuple[str, float]]:
    yield name, ratio
    if interval is not None:
        yield from ((f"{name}_low", interval[0]), (f"{name}_high", interval[1]))


def _markdown(table: pd.DataFrame) -> str:
    rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _tensorboard_writer(title: str, output_dir: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(output_dir / "tensorboard" / title))


@contextlib.contextmanager
def _tensorboard_training(title: str, output_dir: Path) -> Iterator[TrainerCallback]:
    from transformers.integrations import TensorBoardCallback

    writer = _tensorboard_writer(title, output_dir)
    try:
        yield TensorBoardCallback(writer)
    finally:
        writer.close()


def _tensorboard_leave(found: Found, output_dir: Path) -> None:
    from .agg import imread

    writer = _tensorboard_writer(found.title, output_dir)
    try:
        if found.numbers:
            writer.add_hparams(found.settings, found.numbers, run_name=".")
        for name, table in found.tables.items():
            writer.add_text(name, _markdown(table))
        for path in found.files:
            if path.suffix == ".png":
                writer.add_image(path.stem, imread(path)[..., :3], dataformats="HWC")
    finally:
        writer.close()


_OWN_STORES: set[str] = set()  # mlflow keeps the store that is set in the environment, as if the user had set it


def _mlflow(output_dir: Path) -> Any:
    """The module, set to the user's server, or else to a folder of ours."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", PROJECT)
    import mlflow

    if os.environ.get("MLFLOW_TRACKING_URI") in (None, *_OWN_STORES):
        # a folder, as a database needs a newer SQLAlchemy than Optuna 2 takes
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        _OWN_STORES.add(store := (output_dir / "mlruns").resolve().as_uri())
        mlflow.set_tracking_uri(store)
    return mlflow


@contextlib.contextmanager
def _mlflow_training(title: str, output_dir: Path) -> Iterator[TrainerCallback]:
    from transformers.integrations import MLflowCallback

    mlflow = _mlflow(output_dir)
    before = mlflow.active_run()  # a notebook's own, which stays open
    callback, status = MLflowCallback(), "FAILED"
    try:
        yield callback
        status = "FINISHED"
    finally:
        callback._auto_end_run = False  # else it ends whatever run is open when it is collected
        if before is None and mlflow.active_run() is not None:
            mlflow.end_run(status)


def _mlflow_leave(found: Found, output_dir: Path) -> None:
    mlflow = _mlflow(output_dir)
    mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
    with mlflow.start_run(run_name=found.title):
        settings = list(found.settings.items())
        for i in range(0, len(settings), 100):  # the most that one call takes
            mlflow.log_params(dict(settings[i : i + 100]))
        mlflow.log_metrics(found.numbers)
        for path in found.files:
            mlflow.log_artifact(str(path))


def _wandb_environment() -> Any:
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    import wandb

    return wandb


@contextlib.contextmanager
def _wandb_training(title: str, output_dir: Path) -> Iterator[TrainerCallback]:
    from transformers.integrations import WandbCallback

    wandb = _wandb_environment()
    os.environ.setdefault("WANDB_DIR", str(output_dir))
    before, code = wandb.run, 1
    try:
        yield WandbCallback()
        code = 0
    finally:
        if before is None and wandb.run is not None:
            wandb.finish(exit_code=code)


def _wandb_leave(found: Found, output_dir: Path) -> None:
    wandb = _wandb_environment()
    project = os.environ["WANDB_PROJECT"]
    with wandb.init(project=project, name=found.title, config=found.settings, dir=str(output_dir)) as run:
        run.summary.update(found.numbers)
        run.log({name: wandb.Table(dataframe=table) for name, table in found.tables.items()})
        artifact = wandb.Artifact(found.title.replace("/", "-"), type="run")
        for path in found.files:
            artifact.add_file(str(path))
        run.log_artifact(artifact)


_TRAININGS: dict[str, Callable[[str, Path], contextlib.AbstractContextManager[TrainerCallback]]] = {
    "tensorboard": _tensorboard_training,
    "mlflow": _mlflow_training,
    "wandb": _wandb_training,
}
_LEAVE: dict[str, Callable[[Found, Path], None]] = {
    "tensorboard": _tensorboard_leave,
    "mlflow": _mlflow_leave,
    "wandb": _wandb_leave,
}
