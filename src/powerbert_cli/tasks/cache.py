"""Rows on disk: written once for what they are made of, memory-mapped ever after."""

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow

from ..errors import PowerbertError

AT_ONCE = 1000  # rows in memory while they are written
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EFBIG)


@functools.cache
def _code() -> str:
    """Of all that reads rows: what another version read is not taken for what this one would."""
    folder = Path(__file__).parent
    sources = sorted([*folder.glob("*.py"), *folder.parent.glob("kinds/*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def folder() -> Path:
    return Path(datasets.config.HF_DATASETS_CACHE)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Names the cache where it cannot be written: it is another place than the output.

    Raises:
        PowerbertError
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise PowerbertError(
            f"the cache of rows in {folder()} cannot be written: {os.strerror(error.errno)}; make room, or name "
            "another folder in the environment variable HF_DATASETS_CACHE (HF_HOME for all of Hugging Face's caches)"
        ) from error


def cached(
    made_of: tuple[Any, ...],
    features: datasets.Features,
    rows: Callable[[], Iterator[dict[str, Any]]],
    at_once: int = AT_ONCE,
) -> tuple[datasets.Dataset, str]:
    """Rows as a memory-mapped data set, and a digest of their content.

    Args:
        made_of: all that decides the rows: a digest of their source, and how it is read.
        features: of the columns.
        rows: makes them, where they are not known yet. at_once: as many are in memory while they are written.
    """
    key = hashlib.sha256(repr((_code(), *made_of)).encode()).hexdigest()[:32]
    path = folder() / "powerbert" / f"{key}.arrow"
    about = path.with_suffix(".json")
    with writing():
        if not (path.is_file() and about.is_file()):
            path.parent.mkdir(parents=True, exist_ok=True)
            content = _write(path, features, rows(), at_once)
            _replace(about, lambda stream: stream.write(json.dumps({"content": content}).encode()))
        content = json.loads(about.read_text())["content"]
        table = datasets.table.MemoryMappedTable.from_file(str(path))
    return datasets.Dataset(table, fingerprint=key[:16]), content


def _write(path: Path, features: datasets.Features, rows: Iterator[dict[str, Any]], at_once: int) -> str:
    """Returns the digest of the rows' content, whatever file they come from and however it names its columns."""
    schema, content = features.arrow_schema, hashlib.sha256()

    def write(stream: Any) -> None:
        with pyarrow.ipc.new_stream(stream, schema) as writer:
            while few := list(itertools.islice(rows, at_once)):
                for row in few:
                    content.update(repr([row[name] for name in schema.names]).encode("utf-8", "surrogatepass"))
                writer.write_batch(pyarrow.RecordBatch.from_pylist(few, schema=schema))

    _replace(path, write)
    return content.hexdigest()[:16]


def _replace(path: Path, write: Callable[[Any], Any]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
