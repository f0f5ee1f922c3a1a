"""powerbert finetune: fine-tune a classifier, measure it on dev."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings.composed import TrainedSettings
from ..settings.training import Answering, Making

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "fine-tune a classifier and measure it on dev"
EXAMPLES = ["powerbert finetune", "powerbert finetune task=rte task.data_dir=FOLDER model.name_or_path=FOLDER"]


@dataclass(kw_only=True)
class Settings(Answering, Making, TrainedSettings):
    def verify(self) -> None:
        self.check_answers(self.task)


def run(cfg: Any) -> float:
    """Returns the headline metric."""
    from . import folds

    return folds.run(cfg, Settings, _one)


def _one(job: Run[Settings], run_dir: Path) -> float:
    from .folds import made

    return made(job, goals(job)[0], run_dir, "fine-tuned")[1]


def goals(job: Run[Settings]) -> list[Inputs]:
    """The model first."""
    from ..stages.tested import Tested

    model = job.graph.finetuned
    return [*job.graph.to_make(model), *([Tested.of(job.context, model)] if job.context.data.tests else [])]
