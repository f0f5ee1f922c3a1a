"""The kernels as a library: compiled once, at first use, for this machine's CPU."""

import ctypes
import functools
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from ..errors import PowerbertError
from ..store.environment import cpu_flags

log = logging.getLogger(__name__)
SOURCE = Path(__file__).parent / "kernels.cpp"
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
_ENOUGH_S = 300


class NoLibrary(PowerbertError):
    """The kernels cannot be had here; says why, and what would help."""


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded kernels. PyTorch's own OpenMP serves them, so that both share its threads.

    Raises:
        NoLibrary: no compiler is there, or what it makes does not load.
    """
    import torch  # noqa: F401  # brings OpenMP

    path = compiled()
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise NoLibrary(f"engine=native: {path} does not load: {error}") from error
    for name in ("powerbert_attend", "powerbert_attend_first", "powerbert_add_norm", "powerbert_activate"):
        getattr(found, name).restype = ctypes.c_int
    return found


def compiled() -> Path:
    """The library's file; compiles it where it is not there yet. Several processes at once make it once.

    Raises:
        NoLibrary
    """
    compiler = _compiler()
    if compiler is None:
        raise NoLibrary("engine=native needs a C++ compiler once: install g++ or clang++, or name one in CXX")
    flags = (*FLAGS, *_target(), *shlex.split(os.environ.get("CXXFLAGS", "")))
    decides = (SOURCE.read_bytes(), repr((compiler, flags, cpu_flags())).encode())
    name = f"kernels-{hashlib.sha256(b''.join(decides)).hexdigest()[:16]}.so"
    path = _folder() / name
    if path.is_file():
        return path
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            log.info("engine=native: its kernels are compiled for this CPU with %s, once: %s", compiler, path)
            _compile(compiler, flags, path)
    return path


def _compiler() -> str | None:
    names = (os.environ.get("CXX"), "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _target() -> tuple[str, ...]:
    import platform

    return ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ()


def _folder() -> Path:
    """Where libraries are kept: the user's cache; where that cannot be written, a folder of this process."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "powerbert"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    except OSError:
        pass
    return _of_this_process()


@functools.cache
def _of_this_process() -> Path:
    return Path(tempfile.mkdtemp(prefix="powerbert-"))


def _compile(compiler: str, flags: tuple[str, ...], path: Path) -> None:
    """In two steps: linked without OpenMP, which is looked up in PyTorch's."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        object_file, made = f"{folder}/kernels.o", f"{folder}/kernels.so"
        for command in (
            [compiler, *flags, "-c", str(SOURCE), "-o", object_file],
            [compiler, *(flag for flag in flags if flag.startswith("-fsanitize")), "-shared", object_file, "-o", made],
        ):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_ENOUGH_S)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NoLibrary(f"engine=native: {compiler} does not compile its kernels: {error}") from error
            if done.returncode:
                why = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-300:])
                raise NoLibrary(f"engine=native: {compiler} does not compile its kernels: {why.strip()}")
        Path(made).replace(path)
