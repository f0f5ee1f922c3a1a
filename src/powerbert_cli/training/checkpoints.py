"""Which checkpoint a training can go on from."""

import logging
import shutil
from pathlib import Path

from ..store.artifacts import digests, read_json, write_json

log = logging.getLogger(__name__)
SEAL = "seal.json"  # the digests of all files, written when they are


def seal(checkpoint: Path) -> None:
    """Marks a checkpoint as whole."""
    write_json(checkpoint / SEAL, digests(checkpoint))


def last_whole(folder: Path) -> str | None:
    """The newest checkpoint whose files are those of its seal; newer ones, cut short or damaged, are removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        if _is_whole(path):
            return str(path)
        log.warning("%s is not whole, passed over", path)
        shutil.rmtree(path)
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        sealed = read_json(checkpoint / SEAL)
    except (OSError, ValueError):
        return False
    found = digests(checkpoint)
    found.pop(SEAL, None)
    return bool(sealed == found)
