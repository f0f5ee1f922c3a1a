"""powerbert compress: remove layers, heads and feed-forward neurons of the fine-tuned model."""

from typing import Any

from ..pipeline.compress import compress
from ..pipeline.trained import measure
from ..report.tables import say_compression, say_metrics, say_run_dir
from ..settings import VERBS
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the headline metric of the compressed model."""
    work, run_dir = begin(cfg, VERBS["compress"])
    stage = compress(work.settings, work)
    work.export(stage, run_dir)
    say_compression(stage.model_dir)
    measure(work, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "compressed, not trained")
    say_run_dir(run_dir)
    return value
