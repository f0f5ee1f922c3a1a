"""Search, then re-train: what a verb asks for that needs a shortened model."""

import logging
from dataclasses import replace
from pathlib import Path

from ..encoder.loading import host_config
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..settings import ExportSettings, RetrainSettings, ShortenedSettings
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention
from ..store.shipped import load_shortened
from ..store.stages import Stage
from .compress import compressed
from .from_settings import given_retention, unsearched
from .retrain import retrained, start_after
from .search import searched
from .work import Start, Work

log = logging.getLogger(__name__)


def retrain(settings: RetrainSettings, work: Work[RetrainSettings] | None = None) -> Stage:
    """Re-trains with the given retention configuration, or the one that the search of these settings finds."""
    work = work or Work(settings)
    return retrained(work, *retention_for(work), fresh=settings.fresh)


def retention_for(work: Work[RetrainSettings]) -> tuple[RetentionFile, Start]:
    """The given retention configuration, or the one that the search of these settings finds.

    With it the model that re-training starts from: the fine-tuned one, or with
    variant.retrain_from=searched the one that the search ended with.
    """
    settings = work.settings
    given = given_retention(settings, host_config(settings.start_model))
    if given is None:
        stage = searched(work)
        return stage.retention, start_after(work, stage)
    given = replace(given, elimination=replace(given.elimination, protected_tokens=unsearched(work).protected_tokens))
    beside = Path(settings.retention.path).parent / "model" if settings.retention.path else None
    if settings.variant.retrain_from == "searched":
        if beside is not None and (beside / "config.json").is_file():
            return given, Start(beside)
        log.warning("variant.retrain_from=searched, but no search model is at hand; starting from the fine-tuned one")
    return given, compressed(work)


def loaded(settings: ShortenedSettings | ExportSettings) -> tuple[ShortenedModel, RetentionFile]:
    """A given shortened model.

    Raises:
        PowerbertError: it is for shorter inputs.
    """
    assert settings.shortened_dir is not None
    model = load_shortened(settings.shortened_dir)
    if settings.seq_len > model.seq_len:
        raise PowerbertError(
            f"seq_len={settings.seq_len} exceeds ℓ={model.seq_len} of model_dir={settings.model_dir}; "
            f"set seq_len={model.seq_len} or less"
        )
    return model, read_retention(settings.shortened_dir / "retention.json")


def shortened_model(work: Work[ShortenedSettings]) -> tuple[ShortenedModel, RetentionFile, Path]:
    """A given model directory's model, or the one that the stages make of the settings; with its folder."""
    settings = work.settings
    if settings.shortened_dir is not None:
        return *loaded(settings), settings.shortened_dir
    retention, start = retention_for(work)
    folder = retrained(work, retention, start).model_dir
    return load_shortened(folder), retention, folder
