"""Runs stages in their order: the only caller of the store, which keeps what is finished."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..store.artifacts import write_json
from ..store.environment import capture
from ..store.stages import Stage, StageStore
from .context import Context
from .inputs import Given, Inputs, Making, Source


@dataclass(frozen=True)
class Step:
    """A stage of a plan.

    Attributes:
        folder: where it is, or will be.
        finished: it is there, whole, and of the stages that are there before it.
        seconds: that the process took which finished it; None if that is not known.
    """

    inputs: Inputs
    folder: Path
    finished: bool
    seconds: float | None

    @property
    def note(self) -> str:
        """What else there is to say of it."""
        return self.inputs.NOTE


class Runner:
    """Has stages made that are not finished, each after those before it."""

    def __init__(self, context: Context) -> None:
        self.context, self.store = context, StageStore(Path(context.settings.output_dir))
        self._done: dict[str, Stage] = {}

    def run(self, goal: Inputs, fresh: bool = False) -> Stage:
        """The finished stage of these inputs.

        Args:
            fresh: make it anew even if it is finished, but not those before it.
        """
        if fresh or goal.identity not in self._done:
            before = {one.identity: self.run(one) for one in goal.before}
            make = partial(self._make, goal, before)
            made_of = {f"{one.STAGE}-{one.identity}": before[one.identity].content for one in goal.before}
            self._done[goal.identity] = self.store.ensure(goal.STAGE, goal.decides(), make, fresh, made_of)
        return self._done[goal.identity]

    def model_dir(self, source: Source) -> Path:
        """Of a model that was given, or of a stage, which is made if it is not finished."""
        return source.model_dir if isinstance(source, Given) else self.run(source).model_dir

    def plan(self, goals: Sequence[Inputs], fresh: bool = False) -> list[Step]:
        """What there is and what would be made, in order; nothing runs.

        Args:
            fresh: the first goal is made anew in any case.
        """
        steps: dict[str, Step] = {}
        for goal in goals:
            self._plan(goal, steps)
            if fresh and goal is goals[0]:
                steps[goal.identity] = replace(steps[goal.identity], finished=False)
        return list(steps.values())

    def _plan(self, goal: Inputs, steps: dict[str, Step]) -> Step:
        if goal.identity not in steps:
            before = [self._plan(one, steps) for one in goal.before]
            found = None
            if all(step.finished for step in before):
                made_of = {step.folder.name: Stage(step.folder, step.inputs.identity, made=False) for step in before}
                contents = {name: stage.content for name, stage in made_of.items()}
                found = self.store.finished(goal.STAGE, goal.identity, contents)
            folder = self.store.folder(goal.STAGE, goal.identity)
            seconds = None if found is None else found.seconds
            steps[goal.identity] = Step(goal, folder, found is not None, seconds)
        return steps[goal.identity]

    def _make(self, goal: Inputs, before: dict[str, Stage], result: Path, checkpoints: Path) -> None:
        """Has the artifacts written, and the environment of the process that made them."""
        goal.make(Making(self.context, before, result, checkpoints, self.run))
        self.context.describe(result / "model")
        self.context.events.made(goal.STAGE, result)
        write_json(result / "environment.json", capture(self.context.device))
