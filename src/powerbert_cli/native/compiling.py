"""How the kernels are compiled, by the standard library alone: the wheel's build runs this file too."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "kernels.cpp"
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math")
_WIDE = ("-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl")
# By what `torch.backends.cpu.get_cpu_capability` says; DEFAULT where it says something else.
TARGETS = {"DEFAULT": (), "AVX2": ("-mavx2", "-mfma"), "AVX512": ("-mavx2", "-mfma", *_WIDE)}
_ENOUGH_S = 300


class NotCompiled(Exception):
    """The compiler does not make the library; says why."""


def find_compiler() -> str | None:
    """The path of the C++ compiler: what CXX names, g++ or clang++."""
    names = (os.environ.get("CXX"), "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def own_flags() -> tuple[str, ...]:
    """What CXXFLAGS adds where a library is compiled at first use; a wheel's has none of it."""
    return tuple(shlex.split(os.environ.get("CXXFLAGS", "")))


def file_name(target: str, more: tuple[str, ...] = ()) -> str:
    """Of the library for a target: another source, other flags or another kind of machine give another name."""
    decides = SOURCE.read_bytes() + repr((FLAGS, TARGETS[target], more, platform.machine())).encode()
    return f"kernels-{target}-{hashlib.sha256(decides).hexdigest()[:16]}.so"


def compile_kernels(compiler: str, target: str, path: Path, more: tuple[str, ...] = ()) -> None:
    """Writes the library, in two steps: linked without OpenMP, which is looked up in PyTorch's.

    Raises:
        NotCompiled
    """
    flags = (*FLAGS, *TARGETS[target], *more)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        object_file, made = f"{folder}/kernels.o", f"{folder}/kernels.so"
        for command in (
            [compiler, *flags, "-c", str(SOURCE), "-o", object_file],
            [compiler, *(flag for flag in flags if flag.startswith("-fsanitize")), "-shared", object_file, "-o", made],
        ):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_ENOUGH_S)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NotCompiled(f"{compiler} does not compile its kernels: {error}") from error
            if done.returncode:
                why = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-300:])
                raise NotCompiled(f"{compiler} does not compile its kernels: {why.strip()}")
        Path(made).replace(path)
