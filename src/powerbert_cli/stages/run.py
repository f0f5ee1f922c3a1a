"""One set of settings, and what it takes to have its stages: their graph, and who runs them."""

from pathlib import Path
from typing import Any, Generic, TypeVar

from ..settings.common import Common
from ..store.retention_file import RetentionFile
from ..store.stages import Stage, export
from .context import Context
from .events import Events
from .graph import Graph
from .inputs import Inputs, Source
from .runner import Runner

S_co = TypeVar("S_co", bound=Common, covariant=True)


class Run(Generic[S_co]):
    """
    Args:
        context: of other settings of the same task and model, whose data is used again.
    """

    def __init__(self, settings: S_co, events: Events | None = None, context: Context | None = None) -> None:
        self.settings = settings
        self.context = Context(settings, events) if context is None else context.of(settings)
        self.graph, self.runner = Graph(settings, self.context), Runner(self.context)

    def of(self, settings: Any) -> "Run[Any]":
        """Other settings of the same task and model: what is loaded stays loaded."""
        return Run(settings, context=self.context)

    def made(self, goal: Inputs, fresh: bool = False) -> Stage:
        """The finished stage of these inputs, which the stages before it are made for."""
        return self.runner.run(goal, fresh)

    def model_dir(self, source: Source) -> Path:
        return self.runner.model_dir(source)

    def retention(self) -> RetentionFile:
        """The retention configuration that is given, or that the search of these settings finds."""
        found = self.graph.retention
        return found if isinstance(found, RetentionFile) else self.made(found).retention

    def export(self, stage: Stage, folder: Path) -> None:
        """Puts a stage's artifacts into a run directory; the model there calls its classes as the task does."""
        export(stage.folder, folder)
        self.context.describe(folder / "model")
