"""What a bench times: the shortened model, and what it was made of."""

import logging
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedModel

from ..encoder.removing import host_of_sizes
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.retention import Thresholds
from ..models.kinds import load_shortened
from ..models.loading import host_config
from ..models.model_dir import RETENTION
from ..models.packed_file import host_of
from ..settings.composed import TimedSettings
from ..settings.folders import exported
from ..stages.graph import given_retention
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..store.compression_file import read_compression
from ..store.retention_file import RetentionFile
from ..store.retention_file import read as read_retention

log = logging.getLogger(__name__)


def whole_of(job: Run[TimedSettings], model: ShortenedModel) -> PreTrainedModel | None:
    """The plain model that a compressed one is timed against; of one that is given, with random weights."""
    settings = job.settings
    if settings.shortened_dir is not None:
        found = read_compression(settings.shortened_dir)
        return None if found is None else host_of_sizes(model.host, found.layers, found.neurons[0])
    return job.context.host(job.model_dir(job.graph.finetuned)) if settings.compress.given else None


def goal_of(job: Run[TimedSettings]) -> Inputs | None:
    """The stage whose model is timed; None where none has to be trained."""
    return None if job.settings.shortened_dir or _without_training(job) else job.graph.retrained


def _without_training(job: Run[TimedSettings]) -> RetentionFile | None:
    """A retention configuration that can be timed with any weights; None if there is no such."""
    settings = job.settings
    if settings.model_dir or settings.compress.given:
        return None
    return given_retention(settings, host_config(settings.model))


def contender_model(job: Run[TimedSettings]) -> tuple[ShortenedModel, RetentionFile, Path | None]:
    """What is timed, and its folder; None if it is not trained, as speed does not depend on the weights with given
    lengths or fractions.

    Raises:
        PowerbertError: thresholds are given without trained weights, on which the number that passes depends.
    """
    settings, given = job.settings, _without_training(job)
    written = None if settings.shortened_dir is None else exported(settings.shortened_dir)
    if written is not None and not written.weights:
        return *_without_weights(settings), None
    if given is None:
        return shortened_model(job)
    if isinstance(given.elimination.retention, Thresholds):
        raise PowerbertError(
            "strategy=threshold: how many word-vectors reach a threshold, and so the speed, depends on the weights; "
            "give trained ones with model_dir=MODEL, or leave the retention configuration out"
        )
    log.info("the weights of %s are not trained for this: speed does not depend on them", settings.model.label)
    return ShortenedModel(job.context.new_host(), given.elimination), given, None


def loaded(settings: Any) -> tuple[ShortenedModel, RetentionFile]:
    """A given shortened model.

    Raises:
        PowerbertError: it is for shorter inputs.
    """
    assert settings.shortened_dir is not None
    model = load_shortened(settings.shortened_dir)
    _check_length(settings, model)
    return model, read_retention(settings.shortened_dir / RETENTION)


def _without_weights(settings: Any) -> tuple[ShortenedModel, RetentionFile]:
    """Of what was exported for an engine a model of the same shape, whose weights say nothing."""
    folder, retention = settings.shortened_dir, read_retention(settings.shortened_dir / RETENTION)
    log.info("%s has no weights for PyTorch: what else is timed has random ones, and no answers are compared", folder)
    host = host_of(AutoConfig.from_pretrained(folder), read_compression(folder))
    model = ShortenedModel(host, retention.elimination).eval()
    _check_length(settings, model)
    return model, retention


def _check_length(settings: Any, model: ShortenedModel) -> None:
    if settings.seq_len > model.seq_len:
        raise PowerbertError(
            f"seq_len={settings.seq_len} exceeds ℓ={model.seq_len} of model_dir={settings.model_dir}; "
            f"set seq_len={model.seq_len} or less"
        )


def shortened_model(job: Run[TimedSettings]) -> tuple[ShortenedModel, RetentionFile, Path]:
    """A given model directory's model, or the one that the stages make of the settings; with its folder."""
    settings = job.settings
    if settings.shortened_dir is not None:
        return *loaded(settings), settings.shortened_dir
    stage = job.made(job.graph.retrained)
    return load_shortened(stage.model_dir), job.retention(), stage.model_dir
