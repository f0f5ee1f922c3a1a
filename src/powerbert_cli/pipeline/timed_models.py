"""What a bench times: the shortened model, and what it was made of."""

import logging
from pathlib import Path

from transformers import PreTrainedModel

from ..encoder.loading import host_config
from ..encoder.removing import host_of_sizes
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.retention import Thresholds
from ..settings import BenchSettings
from ..store.compression_file import read_compression
from ..store.retention_file import RetentionFile
from .chain import shortened_model
from .finetune import finetuned
from .from_settings import given_retention
from .work import Work

log = logging.getLogger(__name__)


def whole_of(work: Work[BenchSettings], model: ShortenedModel) -> PreTrainedModel | None:
    """The plain model that a compressed one is timed against; of one that is given, with random weights."""
    settings = work.settings
    if settings.shortened_dir is not None:
        found = read_compression(settings.shortened_dir)
        return None if found is None else host_of_sizes(model.host, found.layers, found.neurons[0])
    return work.host(finetuned(work).model_dir) if settings.compress.given else None


def contender_model(work: Work[BenchSettings]) -> tuple[ShortenedModel, RetentionFile, Path | None]:
    """What is timed, and its folder; None if it is not trained, as speed does not depend on the weights with given
    lengths or fractions.

    Raises:
        PowerbertError: thresholds are given without trained weights, on which the number that passes depends.
    """
    settings, given = work.settings, None
    if not (settings.model_dir or settings.compress.given):
        given = given_retention(settings, host_config(settings.model))
    if given is None:
        return shortened_model(work)
    if isinstance(given.elimination.retention, Thresholds):
        raise PowerbertError(
            "strategy=threshold: how many word-vectors reach a threshold, and so the speed, depends on the weights; "
            "give trained ones with model_dir=MODEL, or leave the retention configuration out"
        )
    log.info("the weights of %s are not trained for this: speed does not depend on them", settings.model.label)
    return ShortenedModel(work.new_host(), given.elimination), given, None
