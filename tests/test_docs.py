"""What docs/ says holds: its commands compose, the reference is that of the settings, and the site builds."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from powerbert_cli.cli import dispatch
from powerbert_cli.verbs import PLAIN

DOCS = Path(__file__).parents[1] / "docs"
PLACEHOLDER = re.compile(r"\b[A-Z_]{3,}\b")


def commands():
    """Those of all pages but the results, whose commands name files of their own."""
    for page in sorted(DOCS.rglob("*.md")):
        if page.parent.name == "results":
            continue
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("powerbert "):
                    yield page.name, line.split(" #")[0].strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_command_composes(page, line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    args = [arg for arg in shlex.split(line)[1:] if not PLACEHOLDER.search(arg)]
    one_job = [re.sub(r"^([\w.]+=[^,\[]+),.*", r"\1", arg) for arg in args if arg != "-m"]  # --cfg shows one job
    look = [] if "--help" in args else ["--help"] if args[0] in PLAIN else ["--cfg", "job"]
    assert dispatch([*one_job, *look]) == 0, capfd.readouterr().err


def test_the_reference_is_that_of_the_settings():
    made = runpy.run_path(str(DOCS / "make_reference.py"))["reference"]()
    assert (DOCS / "reference" / "keys.md").read_text(encoding="utf-8") == made, "run python docs/make_reference.py"


def test_imports_go_downwards_in_the_picture():
    layers = runpy.run_path(str(DOCS / "draw_architecture.py"))["LAYERS"]
    row_of = {name: row for row, boxes in enumerate(layers) for name, _ in boxes}
    source = DOCS.parent / "src" / "powerbert_cli"
    named = {path.stem for path in source.iterdir() if not path.stem.startswith("__")}
    assert set(row_of) == named
    for path in source.rglob("*.py"):
        *folders, file = path.relative_to(source).parts
        own = folders[0] if folders else file.removesuffix(".py")
        if own.startswith("__"):
            continue
        for dots, name, what in re.findall(r"^\s*from (\.+)([\w.]*) import (\w*)", path.read_text("utf-8"), flags=re.M):
            imported = [*folders[: len(folders) + 1 - len(dots)], *(name or what).split(".")][0]
            assert imported == own or row_of[own] < row_of[imported], f"{path}: {own} imports {imported}"


def test_method_imports_torch_alone():
    """Triton only in the file of its kernels, which is loaded where there is Triton."""
    allowed = {"torch", *sys.stdlib_module_names}
    for path in (DOCS.parent / "src" / "powerbert_cli" / "method").glob("*.py"):
        found = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text("utf-8"), flags=re.M)
        assert set(found) <= allowed | ({"triton"} if path.stem.endswith("_triton") else set()), path.name


@pytest.mark.extras
def test_the_site_builds_without_a_warning(tmp_path):
    """With every link and anchor checked."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, env=env)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    assert (tmp_path / "site/results/best-plain-engine/index.html").is_file()


def test_links_of_the_readme_lead_somewhere():
    for page in (DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", DOCS.parent / "benchmarks/README.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
