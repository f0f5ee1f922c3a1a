"""powerbert compress: remove layers, heads and feed-forward neurons of the fine-tuned model."""

from typing import Any

from ..report.tables import say_compression, say_metrics, say_run_dir
from ..settings import VERBS, CompressSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..stages.trained import measure
from ..store.stages import Stage
from .prepare import begin, leave


def run(cfg: Any) -> float:
    """Returns the headline metric of the compressed model."""
    job, run_dir = begin(cfg, VERBS["compress"])
    stage = compress(job)
    leave(job, stage, run_dir)
    say_compression(stage.model_dir)
    measure(job.context, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "compressed, not trained")
    say_run_dir(run_dir)
    return value


def compress(job: Run[CompressSettings]) -> Stage:
    """Removes what the settings name of the fine-tuned model, or finds that it is done."""
    return job.made(goals(job)[0], job.settings.fresh)


def goals(job: Run[CompressSettings]) -> list[Inputs]:
    """What there is to be made."""
    return [model] if isinstance(model := job.graph.compressed, Inputs) else []
