"""Finished stages, kept under an identity made of all that decides their result.

A stage appears under `<output_dir>/stages/<name>-<identity>` only when it is complete. While it
is made it lives in a work folder beside it, which a later run of the same identity resumes, and
a lock lets only one process make it; others wait and then use it. Processes that make one together
(torchrun) write theirs elsewhere but for the first, whose files are the stage.
"""

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock, Timeout

from .. import processes
from .artifacts import digests, read_json, whole_file, write_json
from .retention_file import RetentionFile
from .retention_file import read as read_retention

log = logging.getLogger(__name__)
MANIFEST = "stage.json"
FORMAT = 5  # of stage directories, part of every identity
# What a stage after this one reads: weights, tokenizer and configurations, not what classes and files are called.
_READ, _SAYS_ONLY = ("model/", "retention.json", "answers.safetensors"), ("config.json", "task.json", "task.local.json")
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2


@dataclass(frozen=True)
class Stage:
    """A finished stage: its folder, its identity, and whether this call made it."""

    folder: Path
    identity: str
    made: bool

    @property
    def model_dir(self) -> Path:
        return self.folder / "model"

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: the headline metric as `value`, its 95% interval, n, seed and what is reported beside it."""
        return dict(read_json(self.folder / "metrics.json"))

    @property
    def content(self) -> str:
        """Digest of the files that a stage after this one reads."""
        files = self._manifest["files"]
        read = {name: digest for name, digest in files.items() if name.startswith(_READ)}
        kept = {name: digest for name, digest in read.items() if name.rpartition("/")[2] not in _SAYS_ONLY}
        return identity_of(kept)

    @property
    def seconds(self) -> float | None:
        """That the process took which finished it."""
        return self._manifest.get("seconds")

    @property
    def _manifest(self) -> dict[str, Any]:
        return dict(read_json(self.folder / MANIFEST))

    @property
    def value(self) -> float:
        """The headline metric."""
        return float(self.metrics["value"])

    @property
    def retention(self) -> RetentionFile:
        """What a search found, or a model was re-trained with."""
        return read_retention(self.folder / "retention.json")


def identity_of(settings: dict[str, Any]) -> str:
    """Hash of the settings that decide a stage's result."""
    text = json.dumps({"format": FORMAT, **settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class StageStore:
    """The finished stages below an output folder."""

    def __init__(self, output_dir: Path) -> None:
        self.root = output_dir / "stages"

    def folder(self, name: str, identity: str) -> Path:
        return self.root / f"{name}-{identity}"

    def finished(self, name: str, identity: str, made_of: Mapping[str, str]) -> Stage | None:
        """The finished stage of an identity, if there is one that is whole and made of these contents."""
        folder = self.folder(name, identity)
        return Stage(folder, identity, made=False) if _is_whole(folder, made_of) else None

    def ensure(
        self,
        name: str,
        settings: dict[str, Any],
        make: Callable[[Path, Path], None],
        fresh: bool = False,
        made_of: Mapping[str, str] = MappingProxyType({}),
    ) -> Stage:
        """The finished stage of these settings; made by `make` if there is none.

        Args:
            name: finetune, search, retrain …
            settings: all that decides the result.
            make: (result folder, checkpoint folder) → writes the artifacts into the first.
            fresh: make it anew even if a finished one is there.
            made_of: content of the stages before it, by their names: one that was made of others is made anew.
        """
        identity = identity_of({"stage": name, **settings})
        folder = self.folder(name, identity)
        self.root.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as entered:
            if processes.is_main():
                entered.enter_context(self._locked(folder))
            if processes.agreed(processes.is_main() and not fresh and _is_whole(folder, made_of)):
                log.info("%s %s is finished already, using it", name, identity)
                return Stage(folder, identity, made=False)
            work = folder.with_name(f".{folder.name}.work")
            result, checkpoints = work / "result", work / "checkpoints"
            if not processes.is_main():
                make(Path(entered.enter_context(tempfile.TemporaryDirectory())), checkpoints)
                processes.wait()
                return Stage(folder, identity, made=True)
            if fresh:
                shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir(parents=True)
            begun = time.monotonic()
            make(result, checkpoints)
            about = {"stage": name, "settings": settings, "made_of": dict(made_of), "seconds": time.monotonic() - begun}
            write_json(result / MANIFEST, {**about, "files": digests(result)})
            _put(result, folder)
            shutil.rmtree(work, ignore_errors=True)
            processes.wait()
            return Stage(folder, identity, made=True)

    def _locked(self, folder: Path) -> FileLock:
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
            lock.release()
        except Timeout:
            log.info("%s is being made by another process, waiting for it", folder.name)
        return lock


def _put(made: Path, folder: Path) -> None:
    """Brings a folder to its place; whoever reads there finds the old one or the new one, whole.

    What was there before is then at the place of `made`.
    """
    if not folder.exists():
        made.replace(folder)
    elif not _exchanged(made, folder):
        aside = made.with_name("before")
        folder.replace(aside)  # for the moment between the two there is none
        made.replace(folder)
        aside.replace(made)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # Linux has it, with glibc 2.28 or musl
        return False
    return bool(rename(_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _EXCHANGE) == 0)


def export(folder: Path, run_dir: Path) -> None:
    """Puts a finished stage's artifacts into a run directory.

    Weights are hard links where the file system has them, as they are large and never changed
    in place; all else is copied.
    """
    for path in sorted(folder.rglob("*")):
        target = run_dir / path.relative_to(folder)
        if path.is_dir() or path.name == MANIFEST:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            try:
                target.hardlink_to(path)
                continue
            except OSError:
                pass
        with whole_file(target) as temporary:
            shutil.copyfile(path, temporary)


def _is_whole(folder: Path, made_of: Mapping[str, str]) -> bool:
    """Whether a stage is there with all its files, made of these contents."""
    if not folder.is_dir():
        return False
    try:
        found = digests(folder)
        found.pop(MANIFEST, None)
        manifest = read_json(folder / MANIFEST)
        if manifest["files"] == found:
            if manifest["made_of"] == made_of:
                return True
            log.info("%s was made of other weights than those that are there now; it is made anew", folder.name)
            return False
    except (OSError, ValueError, KeyError, TypeError):
        pass
    log.warning("%s is damaged (its files are not those of its manifest); it is made anew", folder)
    return False
