"""Files that are there whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError

from ..errors import PowerbertError
from .home import without_home


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(place: str, way_out: str) -> Iterator[None]:
    """Names the cause where something cannot be written, whichever library tried.

    Args:
        place: the setting that says where it goes. way_out: what else it can be set to, and what is kept.

    Raises:
        PowerbertError
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = _why_not_written(error)
        if reason is None:
            raise
        raise PowerbertError(f"{place}: cannot write: {reason}; make room or set {way_out}") from error


def _why_not_written(error: Exception) -> str | None:
    """None for errors of another kind."""
    if isinstance(error, OSError):
        known = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
        return os.strerror(error.errno) if error.errno in known else None
    said = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, SafetensorError):
        return said.rpartition("I/O error: ")[2] if "I/O error" in said else None
    return "PyTorch could not write a file, most likely for lack of room" if "inline_container" in said else None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """The user's home folder in it becomes ~."""
    with whole_file(path) as temporary:
        temporary.write_text(without_home(text), encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """JSON with a stable layout, as `write_text`; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """CSV with a header and no index column."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path there."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            found[str(path.relative_to(folder))] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
