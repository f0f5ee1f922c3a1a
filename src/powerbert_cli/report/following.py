"""What a person sees of stages while they are made: progress, a tracker's curves, pictures beside what was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from transformers import TrainerCallback

from ..settings.common import Common
from ..store.artifacts import whole_file
from ..store.retention_file import read as read_retention
from .progress import TrainingProgress
from .search_picture import draw_search
from .tracking import tracked


class Following:
    """Hears of stages, see `stages.events`."""

    def __init__(self, settings: Common) -> None:
        self.settings = settings

    @contextmanager
    def training(self, said: str, title: str) -> Iterator[list[TrainerCallback]]:
        """A progress display that is off the screen afterwards whatever happens, and a tracker's callbacks."""
        settings = self.settings
        shown = TrainingProgress(said, settings.task.metric, settings.runtime.log_seconds)
        try:
            with tracked(settings.tracking, title, Path(settings.output_dir)) as trackers:
                yield [shown, *trackers]
        finally:
            shown.close()

    def made(self, stage: str, folder: Path) -> None:
        """Draws search.png of a search that was trained."""
        parameters = folder / "retention_parameters.safetensors"
        if stage != "search" or not parameters.is_file() or (folder / "search.png").is_file():
            return
        found, history = load_file(parameters)["retention_parameters"], pd.read_csv(folder / "history.csv")
        with whole_file(folder / "search.png") as temporary:
            draw_search(found, history, read_retention(folder / "retention.json").configuration, temporary)
