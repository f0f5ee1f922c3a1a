"""classes.csv: the metrics of a run's answers class by class, beside its predictions.csv."""

from collections.abc import Sequence
from pathlib import Path

from ..kinds import KINDS
from ..store.artifacts import write_csv
from ..tasks.classes import per_class
from ..tasks.predictions import read_predictions

NAME = "classes.csv"


def write_classes(folder: Path, kind: str, names: Sequence[str] | None) -> None:
    """Writes classes.csv into a folder that has a predictions.csv, if the task has classes.

    Args:
        kind: of the task. names: of its classes.
    """
    path = folder / "predictions.csv"
    if KINDS[kind].BY_CLASS and path.is_file():
        write_csv(folder / NAME, per_class(*read_predictions(path), names))
