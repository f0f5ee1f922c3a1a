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
_DIGEST = 32  # bytes


class NotCompiled(Exception):
    """The compiler does not make the library; says why."""


def find_compiler() -> list[str] | None:
    """The C++ compiler as a command: what CXX says, with its arguments; else g++ or clang++.

    Raises:
        NotCompiled: what CXX names is not there.
    """
    named = _words("CXX")
    if named and shutil.which(named[0]) is None:
        raise NotCompiled(f"CXX={' '.join(named)} is no command that is found; name a C++ compiler, or unset it")
    return named or next(([found] for name in ("g++", "clang++") if (found := shutil.which(name))), None)


def own_flags() -> tuple[str, ...]:
    """What CXXFLAGS adds where a library is compiled at first use; a wheel's has none of it.

    Raises:
        NotCompiled
    """
    return tuple(_words("CXXFLAGS"))


def _words(variable: str) -> list[str]:
    given = os.environ.get(variable, "")
    try:
        return shlex.split(given)
    except ValueError as error:
        raise NotCompiled(f"{variable}={given} is no command line: {error}") from error


def is_whole(path: Path) -> bool:
    """Whether a library is as it was written: the system kills who loads one that was cut short."""
    content = path.read_bytes()
    return content[-_DIGEST:] == hashlib.sha256(content[:-_DIGEST]).digest()


def file_name(target: str, more: tuple[str, ...] = ()) -> str:
    """Of the library for a target: another source, other flags or another kind of machine give another name."""
    decides = SOURCE.read_bytes() + repr((FLAGS, TARGETS[target], more, platform.machine())).encode()
    return f"kernels-{target}-{hashlib.sha256(decides).hexdigest()[:16]}.so"


def compile_kernels(compiler: list[str], target: str, path: Path, more: tuple[str, ...] = ()) -> None:
    """Writes the library, in two steps: linked without OpenMP, which is looked up in PyTorch's. Its digest ends it.

    Raises:
        NotCompiled
    """
    flags = (*FLAGS, *TARGETS[target], *more)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        object_file, made = f"{folder}/kernels.o", f"{folder}/kernels.so"
        for command in (
            [*compiler, *flags, "-c", str(SOURCE), "-o", object_file],
            [*compiler, *(flag for flag in flags if flag.startswith("-fsanitize")), "-shared", object_file, "-o", made],
        ):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_ENOUGH_S)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NotCompiled(f"{shlex.join(compiler)} does not compile its kernels: {error}") from error
            if done.returncode or not Path(command[-1]).is_file():
                said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
                why = next(
                    (line for line in said if "error" in line), (said or ["it writes nothing and says nothing"])[-1]
                )
                raise NotCompiled(f"{shlex.join(compiler)} does not compile its kernels: {why}")
        with open(made, "r+b") as file:
            file.write(hashlib.sha256(file.read()).digest())
            file.flush()
            os.fsync(file.fileno())
        Path(made).replace(path)
