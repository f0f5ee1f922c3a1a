"""retention.json: a retention configuration and where it comes from."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import PowerbertError, nearest
from ..method.elimination import MERGING, Elimination, from_keys, to_keys
from ..method.retention import Lengths, RetentionError, Thresholds
from .artifacts import write_json

log = logging.getLogger(__name__)
SCHEMA = "powerbert/retention"
VERSION = 1
_OTHERS = ("schema", "version", "lambda", "task", "model", "masses", "provenance", "merging", "protected_until")


class RetentionFileError(PowerbertError):
    """A retention.json that cannot be used."""


@dataclass(frozen=True)
class RetentionFile:
    """Content of retention.json: an elimination and where it comes from.

    Attributes:
        elimination: the retention configuration and how word-vectors are chosen.
        kept: how many word-vectors thresholds kept in each layer on average on dev; None if that is not known, or
            the configuration says it.
        task, model: what it was found on; None if given by hand.
        regularizer_weight: λ of the search, or None.
        masses: mass_j at the end of the search, or None.
        provenance: seed, settings and identity of the stage.
    """

    elimination: Elimination
    kept: tuple[int, ...] | None = None
    task: str | None = None
    model: str | None = None
    regularizer_weight: float | None = None
    masses: tuple[float, ...] | None = None
    provenance: dict[str, Any] | None = None

    @property
    def configuration(self) -> tuple[float, ...]:
        """Lengths or fractions; of thresholds what they kept, if that is known."""
        retention = self.elimination.retention
        return (self.kept or ()) if isinstance(retention, Thresholds) else retention.values

    @property
    def kept_share(self) -> float | None:
        """Word-vectors kept over those of the plain model, in (0, 1]; None if that is not known."""
        known = self.elimination.retention if self.kept is None else Lengths(self.kept)
        return known.share(self.elimination.seq_len)

    @property
    def keys(self) -> dict[str, Any]:
        """The elimination as flat keys, see `to_keys`; of thresholds with what they kept as lengths."""
        return to_keys(self.elimination) | ({} if self.kept is None else {"lengths": self.kept})

    def write(self, path: Path) -> None:
        content = {name: value for name, value in asdict(self).items() if name not in ("elimination", "kept")}
        content["lambda"] = content.pop("regularizer_weight")
        write_json(path, {"schema": SCHEMA, "version": VERSION, **self.keys, **content})


def read(path: Path) -> RetentionFile:
    """Reads and checks a retention.json. An unknown key is ignored, with a warning that names it.

    Raises:
        RetentionFileError: for a missing, foreign, newer or damaged file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RetentionFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RetentionFileError(f"{path}: is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise RetentionFileError(f"{path}: is no retention configuration (schema {SCHEMA!r} expected)")
    if content.get("version") != VERSION:
        raise RetentionFileError(f"{path}: version {content.get('version')!r} is not {VERSION}; update powerbert")
    try:
        elimination = _elimination(content)
    except KeyError as error:
        raise RetentionFileError(f"{path}: damaged: {error} is missing") from error
    except (TypeError, RetentionError) as error:
        raise RetentionFileError(f"{path}: {error}") from error
    keys = (*to_keys(elimination), *_OTHERS)
    for name in (name for name in content if name not in keys):
        log.warning("%s: unknown key %r is ignored%s", path, name, nearest(name, keys))
    if elimination.merges and content.get("merging") != MERGING:
        log.warning(
            "%s: is of an earlier powerbert, whose merging put word-vectors into [CLS] and attended to each alike; "
            "a model that was trained so answers otherwise now: re-train it",
            path,
        )
    known = {name: content.get(name) for name in ("task", "model", "masses", "provenance")}
    by_thresholds = isinstance(elimination.retention, Thresholds) and content["lengths"]
    kept = tuple(content["lengths"]) if by_thresholds else None
    return RetentionFile(elimination, kept, regularizer_weight=content.get("lambda"), **known)


def _elimination(given: dict[str, Any]) -> Elimination:
    """The elimination part of a retention.json, every value checked."""
    for name, least in (("seq_len", 1), ("protected", 0)):
        value = given.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise RetentionError(f"{name}={value!r} must be an integer ≥ {least}")
    until = given.get("protected_until")
    if until is not None and (type(until) is not int or until < 0):
        raise RetentionError(f"protected_until={until!r} must be an integer ≥ 0, or null")
    if given.get("protected", 0) > given.get("seq_len", 1):
        raise RetentionError(f"protected={given['protected']} exceeds seq_len={given['seq_len']}")
    for name in ("diagonal", "pad_queries"):
        if not isinstance(given.get(name, False), bool):
            raise RetentionError(f"{name}={given[name]!r} must be true or false")
    for name in ("random_order", "protected_tokens"):
        value = given.get(name) or []
        if not isinstance(value, list) or not all(isinstance(n, int) and n >= 0 for n in value):
            raise RetentionError(f"{name} must be a list of integers ≥ 0")
    if not isinstance(given.get("kind", ""), str):
        raise RetentionError(f"kind={given['kind']!r} must be absolute or relative")
    for name in ("lengths", "fractions", "thresholds", "random_order", "protected_tokens"):
        if given.get(name) is not None and not isinstance(given[name], list):
            raise RetentionError(f"{name} must be a list")
    found = from_keys({"lengths": given["lengths"], **given})
    return found.checked(len(found.retention.values))
