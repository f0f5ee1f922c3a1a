"""From settings to what is eliminated and how."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from ..encoder.families import layers_of
from ..errors import PowerbertError
from ..method.elimination import Elimination, draw_random_order, from_keys, plain
from ..method.retention import RetentionError
from ..settings import RetrainSettings, SearchSettings
from ..store import retention_file
from ..store.retention_file import RetentionFile
from .compress import compressed
from .work import Work


class RetentionSettingError(PowerbertError):
    """A retention configuration that cannot be used with these settings."""


def unsearched(work: Work[SearchSettings]) -> Elimination:
    """How these settings eliminate, before the retention configuration is searched: nothing is dropped yet."""
    layers = layers_of(AutoConfig.from_pretrained(compressed(work).model_dir))
    elimination = from_keys(_keys(work.settings), layers)
    if not work.settings.protect_separators:
        return elimination
    separator = work.tokenizer.sep_token_id
    if separator is None:
        raise PowerbertError("protect_separators=true: the tokenizer has no separator; set it to false")
    return replace(elimination, protected_tokens=(separator,))


def _keys(settings: SearchSettings) -> dict[str, Any]:
    """How word-vectors are chosen, see `from_keys`."""
    random = settings.strategy == "random"
    return {
        "seq_len": settings.seq_len,
        "strategy": settings.strategy,
        "random_order": draw_random_order(settings.seq_len, settings.seed) if random else None,
        "diagonal": settings.variant.diagonal,
        "pad_queries": settings.variant.pad_queries,
        "kind": settings.retention.kind,
    }


def given_retention(settings: RetrainSettings, config: Any) -> RetentionFile | None:
    """The retention configuration that the settings name, checked against ℓ and the model.

    None if it is to be searched. How word-vectors are chosen is the settings' in any case, so that
    strategies can be compared at one configuration.

    Raises:
        RetentionSettingError
    """
    given, count, keys = settings.retention, settings.compress.layers or layers_of(config), _keys(settings)
    try:
        if given.path:
            found = retention_file.read(Path(given.path))
            keys |= {name: found.keys[name] for name in ("kind", "lengths", "fractions", "thresholds")}
            kept = found.kept if settings.strategy == "threshold" else None
            return replace(found, elimination=from_keys(keys).checked(count), kept=kept)
        if given.lengths == "full":
            return RetentionFile(plain(settings.seq_len, count))
        values = {"thresholds": given.thresholds, "fractions": given.fractions, "lengths": given.lengths}
        chosen = {name: tuple(value) for name, value in values.items() if value is not None}
        if not chosen:
            return None
        keys |= {"kind": "relative" if "fractions" in chosen else "absolute", **chosen}
        return RetentionFile(from_keys(keys).checked(count))
    except RetentionError as error:
        raise RetentionSettingError(str(error)) from error
