"""nox -s tests extras lint types docs wheel minimums audit kernels"""

import re
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = ("-c", "constraints.txt")


@nox.session
def tests(session: nox.Session) -> None:
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def extras(session: nox.Session) -> None:
    """The tests of trackers, the server, the site and the GPU kernels."""
    session.install(*CONSTRAINTS, "-e", ".[test-extras]")
    session.run("pytest", "-m", "extras", *session.posargs)


@nox.session
def kernels(session: nox.Session) -> None:
    """The native engine's kernels: their format, and their tests under sanitizers of addresses and behaviour."""
    session.install(*CONSTRAINTS, "-e", ".[test]", "clang-format")
    session.run("clang-format", "--dry-run", "--Werror", "src/powerbert_cli/native/kernels.cpp")
    # libstdc++ too, or PyTorch's first exception finds no `throw` to go to
    names = ("libasan.so", "libstdc++.so")
    libraries = [session.run("g++", f"-print-file-name={name}", silent=True, external=True) for name in names]
    env = {
        "CXXFLAGS": "-g -fsanitize=address,undefined -fno-sanitize-recover=all",
        "LD_PRELOAD": " ".join(str(library).strip() for library in libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    session.run("pytest", "-n0", "tests/native", *session.posargs, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    session.install(*CONSTRAINTS, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Builds docs/ as a site in site/; a link or an anchor that leads nowhere is an error."""
    session.install(*CONSTRAINTS, *PROJECT["optional-dependencies"]["docs"])
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of the pinned versions; needs a network that reaches PyPI's advisories."""
    session.install("pip-audit")
    session.run("pip-audit", "-r", "constraints.txt", "--no-deps", "--disable-pip")


@nox.session
def wheel(session: nox.Session) -> None:
    """Builds the wheel, installs it and runs a command from another directory."""
    session.install(*CONSTRAINTS, "build")
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", folder)
    built = max(Path(folder).glob("powerbert-*.whl"), key=lambda path: path.stat().st_mtime)
    session.install(*CONSTRAINTS, str(built.resolve()))
    session.chdir(folder)
    session.run("powerbert", "sweep", "experiment=smoke", "lambda=1e-2")


@nox.session
def minimums(session: nox.Session) -> None:
    """The fast tests at the lowest versions that pyproject.toml allows."""
    lowest = [re.sub(r">=", "==", requirement) for requirement in PROJECT["dependencies"]]
    session.install(*lowest, "-e", ".[test]")
    session.run("pytest", *session.posargs)
