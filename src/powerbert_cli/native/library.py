"""The kernels as a library: from the wheel, or compiled once, at first use, for what PyTorch uses of this CPU."""

import ctypes
import functools
import logging
import os
import tempfile
from pathlib import Path

from filelock import FileLock

from ..errors import PowerbertError
from . import compiling

log = logging.getLogger(__name__)


class NoLibrary(PowerbertError):
    """The kernels cannot be had here; says why, and what would help."""


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded kernels. PyTorch's own OpenMP serves them, so that both share its threads.

    What does not load, as it was damaged or made for another system, is compiled anew.

    Raises:
        NoLibrary: no compiler is there, or what it makes does not load.
    """
    try:
        shipped = compiling.SOURCE.parent / compiling.file_name(_target())
        if shipped.is_file() and not compiling.own_flags():
            try:
                return _loaded(shipped)
            except OSError as error:
                log.info("engine=native: %s, made with the wheel, does not load here: %s", shipped, error)
        return _own()
    except (compiling.NotCompiled, OSError) as error:
        raise NoLibrary(f"engine=native: {error}") from error


def _own() -> ctypes.CDLL:
    """
    Raises:
        OSError: what the compiler makes does not load; it is gone then.
        NotCompiled, NoLibrary
    """
    try:
        return _loaded(compiled())
    except OSError as error:
        log.info("engine=native: its kernels are compiled anew: %s", error)
    path = compiled(anew=True)
    try:
        return _loaded(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _target() -> str:
    import torch

    found = torch.backends.cpu.get_cpu_capability()
    return found if found in compiling.TARGETS else "DEFAULT"


def _loaded(path: Path) -> ctypes.CDLL:
    """
    Raises:
        OSError: says which file it is, and why it does not load.
    """
    import torch  # noqa: F401  # brings OpenMP

    if not compiling.is_whole(path):
        raise OSError(f"{path} is damaged")
    try:
        found = ctypes.CDLL(str(path))
        for name in ("powerbert_attend", "powerbert_attend_first", "powerbert_add_norm", "powerbert_activate"):
            getattr(found, name).restype = ctypes.c_int
    except (OSError, AttributeError) as error:
        raise OSError(f"{path} does not load: {error}") from error
    return found


def compiled(anew: bool = False) -> Path:
    """The library's file; compiles it where it is not there yet. Several processes at once make it once.

    Args:
        anew: what is there does not load.

    Raises:
        NoLibrary: there is no compiler.
        NotCompiled
        OSError: something else stands in the file's place.
    """
    target, more = _target(), compiling.own_flags()
    path = _folder() / compiling.file_name(target, more)
    if path.is_file() and not anew:
        return path
    compiler = compiling.find_compiler()
    if compiler is None:
        raise NoLibrary("engine=native needs a C++ compiler once: install g++ or clang++, or name one in CXX")
    with FileLock(path.with_suffix(".lock")):
        if anew or not path.is_file():
            log.info("engine=native: its kernels are compiled for this CPU with %s, once: %s", compiler[0], path)
            compiling.compile_kernels(compiler, target, path, more)
    return path


def _folder() -> Path:
    """Where libraries are kept: the user's cache; where that cannot be written, a folder of this process."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "powerbert"
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        pass
    return Path(_of_this_process().name)


@functools.cache
def _of_this_process() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="powerbert-")
