"""powerbert retrain: re-train with extract layers that really shorten."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..encoder.loading import host_config
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..report.tables import say_metrics, say_retention, say_run_dir
from ..settings import RetrainSettings, ShortenedSettings
from ..store.model_dir import fingerprint
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention
from ..store.shipped import load_shortened
from .elimination import given_retention
from .pipeline import Pipeline, Start
from .predict import say_test, write_test_predictions
from .rundir import begin
from .search_stage import retention_of, searched

log = logging.getLogger(__name__)


def run(cfg: Any) -> float:
    """Returns the headline metric of the shortened model."""
    settings, run_dir = begin(cfg, RetrainSettings)
    pipeline = Pipeline(settings, fresh="retrain" if settings.fresh else None)
    retention, start = retention_for(settings, pipeline)
    stage = pipeline.retrained(retention, start)
    pipeline.export(stage, run_dir)
    if settings.predict_test:
        write_test_predictions(load_shortened(stage.folder / "model"), settings, pipeline, run_dir)
    done = "shortened and re-trained" if settings.retrain.epochs else "shortened, not re-trained"
    value = say_metrics(run_dir / "metrics.json", done)
    model_dir = stage.folder / "model"
    say_test(pipeline, model_dir, lambda: load_shortened(model_dir), run_dir)
    say_retention(retention)
    say_run_dir(run_dir)
    return value


def retention_for(settings: RetrainSettings, pipeline: Pipeline) -> tuple[RetentionFile, Start]:
    """The given retention configuration, or the one that the search of these settings finds.

    With it the model that re-training starts from: the fine-tuned one, or with
    variant.retrain_from=searched the one that the search ended with.
    """
    given = given_retention(settings, host_config(settings.start_model))
    if given is None:
        stage = searched(pipeline)
        return retention_of(stage), pipeline.start_after(stage)
    given = replace(
        given, elimination=replace(given.elimination, protected_tokens=pipeline.elimination().protected_tokens)
    )
    beside = Path(settings.retention.path).parent / "model" if settings.retention.path else None
    if settings.variant.retrain_from == "searched":
        if beside is not None and (beside / "config.json").is_file():
            return given, Start(beside, fingerprint(beside), None)
        log.warning("variant.retrain_from=searched, but no search model is at hand; starting from the fine-tuned one")
    return given, pipeline.finetuned


def shortened_model(settings: ShortenedSettings, pipeline: Pipeline) -> tuple[ShortenedModel, RetentionFile]:
    """A given model directory's model, or the one that the pipeline makes of the settings."""
    if settings.shortened:
        model = load_shortened(settings.shortened)
        if settings.seq_len > model.seq_len:
            raise PowerbertError(
                f"seq_len={settings.seq_len} exceeds ℓ={model.seq_len} of shortened={settings.shortened}; "
                f"set seq_len={model.seq_len} or less"
            )
        return model, read_retention(Path(settings.shortened) / "retention.json")
    retention, start = retention_for(settings, pipeline)
    return load_shortened(pipeline.retrained(retention, start).folder / "model"), retention
