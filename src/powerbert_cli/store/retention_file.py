"""retention.json: a retention configuration and where it comes from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import PowerbertError
from ..method.retention import RetentionError, check_lengths
from .artifacts import write_json

SCHEMA = "powerbert/retention"
VERSION = 1


class RetentionFileError(PowerbertError):
    """A retention.json that cannot be used."""


@dataclass(frozen=True)
class RetentionFile:
    """Content of retention.json.

    Attributes:
        lengths: (ℓ_1 … ℓ_L).
        seq_len: ℓ.
        protected: leading positions that are always kept ([CLS]).
        strategy: how word-vectors are chosen; 'attention' is Attn-WS.
        task, model: what it was found on; None if given by hand.
        regularizer_weight: λ of the search, or None.
        masses: mass_j at the end of the search, or None.
        provenance: versions, seed, identity of the stage.
    """

    lengths: tuple[int, ...]
    seq_len: int
    protected: int = 1
    strategy: str = "attention"
    task: str | None = None
    model: str | None = None
    regularizer_weight: float | None = None
    masses: tuple[float, ...] | None = None
    provenance: dict[str, Any] | None = None

    def write(self, path: Path) -> None:
        content = asdict(self)
        content["lambda"] = content.pop("regularizer_weight")
        write_json(path, {"schema": SCHEMA, "version": VERSION, **content})


def read(path: Path) -> RetentionFile:
    """Reads and checks a retention.json.

    Raises:
        RetentionFileError: for a missing, foreign, newer or damaged file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RetentionFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RetentionFileError(f"{path}: is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise RetentionFileError(f"{path}: is no retention configuration (schema {SCHEMA!r} expected)")
    if content.get("version") != VERSION:
        raise RetentionFileError(f"{path}: version {content.get('version')!r} is not {VERSION}; update powerbert")
    try:
        seq_len, protected = content["seq_len"], content.get("protected", 1)
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in (seq_len, protected)):
            raise RetentionFileError(f"{path}: seq_len={seq_len!r} and protected={protected!r} must be integers ≥ 1")
        lengths = check_lengths(content["lengths"], seq_len)
    except (KeyError, TypeError) as error:
        raise RetentionFileError(f"{path}: damaged: {error}") from error
    except RetentionError as error:
        raise RetentionFileError(f"{path}: {error}") from error
    known = {name: content.get(name) for name in ("task", "model", "masses", "provenance")}
    return RetentionFile(
        lengths,
        seq_len,
        protected,
        content.get("strategy", "attention"),
        regularizer_weight=content.get("lambda"),
        **known,
    )
