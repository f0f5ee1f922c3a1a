"""powerbert finetune: fine-tune a classifier, measure it on dev."""

from typing import Any

from ..errors import PowerbertError
from ..report.tables import say_metrics, say_run_dir
from ..settings import FinetuneSettings
from ..store.stages import export
from .pipeline import Pipeline
from .rundir import begin


def run(cfg: Any) -> float:
    """Returns the headline metric."""
    settings, run_dir = begin(cfg, FinetuneSettings)
    start = Pipeline(settings, fresh="finetune" if settings.fresh else None).finetuned
    if start.stage is None:
        raise PowerbertError(
            f"checkpoint={settings.checkpoint}: finetune makes a checkpoint, it takes none; use model.name_or_path"
        )
    export(start.stage.folder, run_dir)
    value = say_metrics(run_dir / "metrics.json", "fine-tuned")
    say_run_dir(run_dir)
    return value
