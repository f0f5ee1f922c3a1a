"""powerbert retrain: re-train with extract layers that really shorten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings.composed import RetrainedSettings
from ..settings.training import Answering, Making

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "re-train with extract layers that really drop the rest; write a model directory"
DETAILS = "Without a retention configuration that of the finished search of the same settings is used, or made."
EXAMPLES = [
    "powerbert retrain",
    "powerbert retrain retention.path=RUN/retention.json",
    "powerbert retrain retention.lengths=[20,12,6,2]",
    "powerbert retrain method=kcm target.flops=0.7",
]


@dataclass(kw_only=True)
class Settings(Answering, Making, RetrainedSettings):
    def verify(self) -> None:
        self.check_answers(self.task)


def run(cfg: Any) -> float:
    """Returns the headline metric of the shortened model."""
    from . import folds

    return folds.run(cfg, Settings, _one)


def _one(job: Run[Settings], run_dir: Path) -> float:
    from ..models.kinds import load_shortened
    from ..recipes.words import write_words
    from ..report.tables import say_compression, say_retention
    from .folds import made

    done = "shortened and re-trained" if job.settings.retrain.epochs else "shortened, not re-trained"
    stage, value = made(job, goals(job)[0], run_dir, done)
    say_retention(stage.retention)
    say_compression(stage.model_dir)
    write_words(job.context, load_shortened(stage.model_dir), run_dir)
    return value


def goals(job: Run[Settings]) -> list[Inputs]:
    """The model first."""
    from ..stages.tested import Tested

    model = job.graph.retrained
    return [*job.graph.to_make(model), *([Tested.of(job.context, model)] if job.context.data.tests else [])]
