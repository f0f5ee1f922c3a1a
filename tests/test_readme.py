"""Every powerbert command that the README shows runs, or composes where it needs your files."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def commands():
    for block in re.findall(r"```bash\n(.*?)```", README, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.split("#")[0].strip()
            if line.startswith("powerbert "):
                yield line


def run(args, folder):
    command = [sys.executable, "-m", "powerbert_cli", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, env=dict(os.environ))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


def test_there_are_commands():
    verbs = {line.split()[1] for line in commands()}
    assert {"finetune", "search", "retrain", "bench", "sweep"} <= verbs


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_command(line, folder):
    args = shlex.split(line)[1:]
    # FOLDER, MODEL, RUN, the hub's data and large models are what only the reader has
    if re.search(r"\b[A-Z_]{3,}\b|task=|model=|paper/", line):
        kept = [arg for arg in args if not re.search(r"\b[A-Z_]{3,}\b", arg)]
        one_job = [re.sub(r"^([\w.]+=[^,\[]+),.*", r"\1", arg) for arg in kept]  # --cfg shows one job of a sweep
        done = run([*one_job, "--cfg", "job"], folder)
    elif "--help" in args or args == ["--help"]:
        done = run(args, folder)
    else:
        timed = ["bench.rounds=3", "bench.examples=32"] if args[0] in ("bench", "sweep") else []
        two_values = [re.sub(r"^([\w.]+=[^,\[]+,[^,]+),.*", r"\1", arg) for arg in args]  # two are a sweep as three are
        done = run([*two_values, "experiment=smoke", *timed], folder)
    assert done.returncode == 0, done.stdout + done.stderr
