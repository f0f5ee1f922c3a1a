"""powerbert finetune: fine-tune a classifier, measure it on dev."""

from typing import Any

from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import plain
from ..report.tables import say_metrics, say_run_dir
from ..settings import FinetuneSettings
from ..store.model_dir import load_plain
from .pipeline import Pipeline
from .predict import say_test, write_test_predictions
from .rundir import begin


def run(cfg: Any) -> float:
    """Returns the headline metric."""
    settings, run_dir = begin(cfg, FinetuneSettings)
    pipeline = Pipeline(settings, fresh="finetune" if settings.fresh else None)
    start = pipeline.finetuned
    if start.stage is None:
        raise PowerbertError(
            f"checkpoint={settings.checkpoint}: finetune makes a checkpoint, it takes none; use model.name_or_path"
        )
    pipeline.export(start.stage, run_dir)

    def fine_tuned() -> ShortenedModel:
        return ShortenedModel(load_plain(start.model_dir), plain(settings.seq_len, pipeline.layers))

    if settings.predict_test:
        write_test_predictions(fine_tuned(), settings, pipeline, run_dir)
    value = say_metrics(run_dir / "metrics.json", "fine-tuned")
    say_test(pipeline, start.model_dir, fine_tuned, run_dir)
    say_run_dir(run_dir)
    return value
