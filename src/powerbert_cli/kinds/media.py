"""Files that rows hold or name: pictures, clips of sound."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from .kind import Kind, Row
from .values import RowError, shown

TEACHER = ("teacher_logits", "teacher_first", "teacher_length")  # columns of encoded rows, see `training.classifier`


class OfFiles(Kind):
    """What kinds have in common whose rows hold a file each, of which a collator makes inputs."""

    TEXTS = (1,)
    INPUTS: ClassVar[int] = 16

    @property
    def of_authors_code(self) -> bool:
        return False

    @classmethod
    def fits(cls, head: str, problem: str | None, outputs: int) -> bool:
        return head == cls.HEAD

    def texts(self, inputs: Row) -> tuple[str, ...] | None:
        return None


def content_of(value: Any, column: str, one: str) -> bytes:
    """The bytes of a file.

    Args:
        value: these bytes, a path, or both as `datasets` has them ({bytes, path}).
        one: what the file is, for messages: a picture.

    Raises:
        RowError: it is missing, empty, or cannot be read.
    """
    if isinstance(value, dict) and {"bytes", "path"} & set(value):
        value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if value is None or value == "":
        raise RowError(f"has no '{column}'; give the path of {one}, or its bytes")
    if isinstance(value, bytes | bytearray):
        content = bytes(value)
    elif isinstance(value, str | Path):
        content = _read(value, column)
    else:
        raise RowError(
            f"has {shown(value)} as '{column}', which is of type {type(value).__name__}; it must be the path of {one}, "
            "or its bytes"
        )
    if not content:
        raise RowError(f"has an empty file as '{column}'; take it out, or give {one} again")
    return content


def name_of(value: Any) -> str:
    """What a file is called, without its folders; empty if nothing says it."""
    value = value.get("path") if isinstance(value, dict) else value
    return Path(value).name if isinstance(value, str | Path) else ""


def taught(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a teacher says of rows, where it says something, as tensors of a batch."""
    import torch

    return {name: torch.tensor([row[name] for row in rows]) for name in TEACHER if rows and name in rows[0]}


def _read(path: str | Path, column: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RowError(f"has '{path}' as '{column}', which cannot be read: {reason}") from error
