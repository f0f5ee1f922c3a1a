"""powerbert study: the paper's Figure 2, Figure 3b and Table 3 for a task and a model."""

from typing import Any

from ..recipes.study import study
from ..report.study_picture import draw
from ..report.tables import console, plain_table, say_run_dir
from ..settings import VERBS, StudySettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..store.artifacts import whole_file, write_csv
from .prepare import begin


def run(cfg: Any) -> None:
    """Writes study.csv and study.png into the run directory."""
    job, run_dir = begin(cfg, VERBS["study"])
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


def goals(job: Run[StudySettings]) -> list[Inputs]:
    """What there is to be made; which strategies are re-trained with what a search finds is known after it."""
    if job.settings.name != "selection":
        return [model] if isinstance(model := job.graph.compressed, Inputs) else []
    return [*job.graph.baselines, *([found] if isinstance(found := job.graph.retention, Inputs) else [])]
