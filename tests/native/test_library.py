"""The kernels are compiled once, where they can be; else it is said what would help."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from hosts import make_host
from small import SMALL

from powerbert_cli.bench.engines import runner
from powerbert_cli.bench.place import Place, Unavailable
from powerbert_cli.cli import dispatch
from powerbert_cli.native import compiling, library

needs_compiler = pytest.mark.skipif(compiling.find_compiler() is None, reason="no C++ compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library.library.cache_clear()
    yield tmp_path / "cache"
    library.library.cache_clear()


def quick(monkeypatch):
    """A compiler that only says that it ran."""
    commands = []

    def run(command, **options):
        commands.append(command)
        Path(command[-1]).write_text("made")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(compiling.subprocess, "run", run)
    monkeypatch.setattr(compiling, "find_compiler", lambda: ["g++"])
    return commands


def test_it_is_compiled_once_whoever_asks(cache, monkeypatch):
    commands = quick(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: library.compiled(), range(4)))
    assert len(found) == 1 and len(commands) == 2 and found.pop().read_bytes()[:4] == b"made"
    assert library.compiled().is_file() and len(commands) == 2


def test_another_source_flags_or_cpu_are_another_library(cache, monkeypatch, tmp_path):
    quick(monkeypatch)
    first = library.compiled()
    monkeypatch.setattr(library, "_target", lambda: "DEFAULT")
    second = library.compiled()
    monkeypatch.setenv("CXXFLAGS", "-g")
    third = library.compiled()
    (tmp_path / "own.cpp").write_text("// another")
    monkeypatch.setattr(compiling, "SOURCE", tmp_path / "own.cpp")
    assert len({first, second, third, library.compiled()}) == 4


def test_a_cache_that_cannot_be_written(cache, monkeypatch):
    quick(monkeypatch)
    cache.write_text("a file where the folder should be")
    assert library.compiled().is_file()


def test_no_compiler_is_said(cache, monkeypatch):
    monkeypatch.setattr(compiling, "find_compiler", lambda: None)
    with pytest.raises(library.NoLibrary, match=r"needs a C\+\+ compiler once: install g\+\+ or clang\+\+"):
        library.library()


@needs_compiler
def test_a_source_that_does_not_compile_says_why(cache, monkeypatch, tmp_path):
    (tmp_path / "own.cpp").write_text("int f() { return nothing; }")
    monkeypatch.setattr(compiling, "SOURCE", tmp_path / "own.cpp")
    with pytest.raises(library.NoLibrary, match="does not compile its kernels: .*nothing"):
        library.library()
    assert not list(cache.rglob("*.so"))


def test_a_library_that_does_not_load_is_not_kept(cache, monkeypatch):
    quick(monkeypatch)
    with pytest.raises(library.NoLibrary, match="does not load"):
        library.library()
    assert not list(cache.rglob("*.so"))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CXX", "no-such-compiler", "CXX=no-such-compiler is no command that is found; name a C.. compiler, or unset"),
        ("CXX", "g++ 'x", "CXX=g.. 'x is no command line: No closing quotation"),
        ("CXX", "true", "true does not compile its kernels: it writes nothing"),
        ("CXXFLAGS", '"x', "CXXFLAGS=.x is no command line: No closing quotation"),
    ],
)
def test_a_compiler_that_is_none_is_named(variable, value, message, cache, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(library.NoLibrary, match=message):
        library.library()


def test_what_stands_in_the_place_of_the_library_is_named(cache, monkeypatch):
    quick(monkeypatch)
    place = library.compiled()
    place.unlink()
    place.mkdir()
    with pytest.raises(library.NoLibrary, match=f"Is a directory.*{place.name}"):
        library.library()


@needs_compiler
def test_what_the_wheel_brings_is_taken_where_it_loads(cache, monkeypatch, tmp_path):
    """The wheel's build has put it beside the source; a damaged one is made anew in the cache, also where that has one.

    The system would kill who loads one that was cut short.
    """
    source = tmp_path / "kernels.cpp"
    source.write_bytes(compiling.SOURCE.read_bytes())
    monkeypatch.setattr(compiling, "SOURCE", source)
    shipped = tmp_path / compiling.file_name(library._target())
    shipped.write_text("damaged")
    place = cache / "powerbert" / shipped.name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\x7fELF, cut short")
    made = Path(library.library()._name)
    assert made == place and compiling.is_whole(made)
    library.library.cache_clear()
    shutil.copy(made, shipped)
    assert library.library()._name == str(shipped)


def test_bench_skips_it_with_the_reason(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "find_compiler", lambda: None)
    with pytest.raises(Unavailable, match=r"C\+\+ compiler"):
        runner("native", "plain", make_host(), "fp32", Place("cpu", 1, tmp_path))
    for precision, place, why in (
        ("fp16", Place("cpu", 1, tmp_path), "has fp32 and bf16 and int8, not fp16"),
        ("fp32", Place("cuda", 1, tmp_path), "on the CPU only"),
        ("int8", Place("cpu", 1, tmp_path), "calibrated on inputs"),
    ):
        with pytest.raises(Unavailable, match=why):
            runner("native", "plain", make_host(), precision, place)


@needs_compiler
def test_predict_answers_as_in_eager(here):
    """In int8 too, which is calibrated on the training texts that the model directory names."""
    assert dispatch(["retrain", *SMALL, "retention.lengths=[12,5]", "hydra.run.dir=run"]) == 0
    Path("texts.txt").write_text("".join(f"{' '.join('abcdefgh'[i % 5 : i % 9])}\n" for i in range(40)))
    labels = {}
    for name, own in {"eager": [], "native": ["engine=native"], "int8": ["engine=native", "precision=int8"]}.items():
        given = ["model_dir=run/model", "input=texts.txt", f"output={name}.csv"]
        assert dispatch(["predict", *given, *own]) == 0
        labels[name] = pd.read_csv(f"{name}.csv")["label"]
    assert len(labels["eager"]) == 40 and (labels["eager"] == labels["native"]).all()
    assert (labels["eager"] == labels["int8"]).mean() > 0.9


@pytest.mark.parametrize(("said", "target"), [("NO AVX", "DEFAULT"), ("SVE256", "DEFAULT"), ("AVX512", "AVX512")])
def test_each_cpu_has_a_target(said, target, monkeypatch):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: said)
    assert library._target() == target
