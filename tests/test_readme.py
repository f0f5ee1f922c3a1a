"""Every powerbert command that the README and the page of the verbs show runs, or composes where it needs your files.

In this process: as commands of their own they would load PyTorch forty times. Other tests start commands.
"""

import re
import shlex
from pathlib import Path

import pytest

from powerbert_cli.cli import dispatch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "reference" / "verbs.md", ROOT / "docs" / "explanation" / "method.md"]


def commands():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.split("#")[0].strip()
            if line.startswith("powerbert "):
                yield line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


def test_there_are_commands():
    verbs = {line.split()[1] for line in commands()}
    assert {"finetune", "search", "retrain", "bench", "sweep"} <= verbs


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_command(line, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    args = shlex.split(line)[1:]
    # FOLDER, MODEL, RUN, the hub's data and large models are what only the reader has
    if args[0] == "report":  # the shell has made folders of outputs/sweep/*/*
        assert dispatch(["finetune", "experiment=smoke"]) == 0
        code = dispatch(["report", *map(str, Path("outputs").glob("finetune/*/*")), *args[2:]])
    elif re.search(r"\b[A-Z_]{3,}\b|task=|model=|paper/", line):
        kept = [arg for arg in args if not re.search(r"\b[A-Z_]{3,}\b", arg)]
        one_job = [re.sub(r"^([\w.]+=[^,\[]+),.*", r"\1", arg) for arg in kept]  # --cfg shows one job of a sweep
        code = dispatch([*one_job, "--cfg", "job"])
    elif "--help" in args or args == ["--help"]:
        code = dispatch(args)
    else:
        timed = ["bench.rounds=3", "bench.examples=32"] if args[0] in ("bench", "sweep") else []
        timed += ["bench.models=[plain,shortened]"] if timed else []
        two_values = [re.sub(r"^([\w.]+=[^,\[]+,[^,]+),.*", r"\1", arg) for arg in args]  # two are a sweep as three are
        if len([arg for arg in args if re.match(r"[\w.]+=[^,\[]+,", arg)]) > 1:  # and one grid of two as one of four
            two_values[-1] = two_values[-1].partition(",")[0]
        timed += ["target.trials=2"] if any("max_drop" in arg for arg in args) else []
        code = dispatch([*two_values, "experiment=smoke", *timed])
    assert code == 0, capfd.readouterr().err
