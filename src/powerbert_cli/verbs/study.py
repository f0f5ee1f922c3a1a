"""powerbert study: the paper's Figure 2, Figure 3b and Table 3 for a task and a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings.composed import RetrainedSettings
from ..settings.study import Studying

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "the paper's Figure 2, Figure 3b and Table 3 for a task and a model, as table and picture"
DETAILS = "similarity and information look at the fine-tuned model; selection re-trains one model a strategy."
EXAMPLES = [
    "powerbert study name=similarity model_dir=RUN/model",
    "powerbert study name=information",
    "powerbert study name=selection retention.lengths=[20,12,6,2]",
]


@dataclass(kw_only=True)
class Settings(Studying, RetrainedSettings):
    pass


def run(cfg: Any) -> None:
    """Writes study.csv and study.png into the run directory."""
    from ..recipes.study import study
    from ..report.study_picture import draw
    from ..report.tables import console, plain_table, say_run_dir
    from ..store.artifacts import whole_file, write_csv
    from .prepare import begin

    job, run_dir = begin(cfg, Settings)
    settings, table = job.settings, study(job)
    write_csv(run_dir / "study.csv", table)
    title = f"{settings.name}: {settings.task.name} dev, {settings.start_model.label}"
    with whole_file(run_dir / "study.png") as temporary:
        draw(settings.name, table, title, settings.task.metric, temporary)
    heads = [settings.task.metric if name == "metric" else str(name) for name in table.columns]
    shown = plain_table(title, dict.fromkeys(heads, "right"))
    for row in table.itertuples(index=False):
        shown.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
    console.print(shown)
    console.print(f"table: {run_dir / 'study.csv'}\npicture: {run_dir / 'study.png'}")
    say_run_dir(run_dir)


def goals(job: Run[Settings]) -> list[Inputs]:
    """Which strategies are re-trained with what a search finds is known after it."""
    if job.settings.name != "selection":
        return job.graph.to_make(job.graph.compressed)
    return [*job.graph.baselines, *job.graph.to_make(job.graph.retention)]
