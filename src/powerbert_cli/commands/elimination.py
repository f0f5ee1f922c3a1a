"""From settings to what is eliminated and how."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..encoder.families import layers_of
from ..errors import PowerbertError
from ..method.elimination import Elimination, draw_random_order
from ..method.retention import RetentionError
from ..settings import RetrainSettings, SearchSettings
from ..store import retention_file
from ..store.retention_file import RetentionFile


class RetentionSettingError(PowerbertError):
    """A retention configuration that cannot be used with these settings."""


def open_elimination(settings: SearchSettings) -> Elimination:
    """The elimination of these settings with its retention configuration still open."""
    return Elimination(
        None,
        settings.seq_len,
        settings.strategy,
        random_order=draw_random_order(settings.seq_len, settings.seed) if settings.strategy == "random" else None,
        diagonal=settings.variant.diagonal,
        pad_queries=settings.variant.pad_queries,
        kind=settings.retention.kind,
    )


def full_elimination(seq_len: int, layers: int) -> Elimination:
    """The one that eliminates nothing: the plain model."""
    return Elimination((seq_len,) * layers, seq_len)


def given_retention(settings: RetrainSettings, config: Any) -> RetentionFile | None:
    """The retention configuration that the settings name, checked against ℓ and the model.

    None if it is to be searched. How word-vectors are chosen is the settings' in any case, so that
    strategies can be compared at one configuration.

    Raises:
        RetentionSettingError
    """
    given, layers, elimination = settings.retention, layers_of(config), open_elimination(settings)
    try:
        if given.path:
            found = retention_file.read(Path(given.path))
            how_many = {
                name: getattr(found.elimination, name) for name in ("kind", "lengths", "fractions", "thresholds")
            }
            elimination = replace(elimination, **how_many)
            return replace(found, elimination=elimination.checked(layers))
        if given.lengths == "full" or settings.strategy == "none":
            return RetentionFile(full_elimination(settings.seq_len, layers))
        if given.thresholds is not None:
            return RetentionFile(replace(elimination, thresholds=tuple(given.thresholds)).checked(layers))
        if given.fractions is not None:
            fractions = tuple(given.fractions)
            return RetentionFile(replace(elimination, kind="relative", fractions=fractions).checked(layers))
        if given.lengths is None:
            return None
        return RetentionFile(replace(elimination, lengths=tuple(given.lengths)).checked(layers))
    except RetentionError as error:
        raise RetentionSettingError(str(error)) from error
