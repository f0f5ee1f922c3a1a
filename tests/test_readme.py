"""Every powerbert command that the README and the page of the verbs show runs, or composes where it needs your files.

In this process: as commands of their own they would load PyTorch forty times. Other tests start commands.
"""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from hosts import make_host
from small import QUICK, SMALL

from powerbert_cli.cli import dispatch
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.tasks.tokenizing import build_tokenizer

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "reference" / "verbs.md"]


def commands():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.split("#")[0].strip().removeprefix(".venv/bin/")
            if line.startswith("powerbert "):
                yield line


def layers_of(line):
    """As many as a given configuration is for; None without one."""
    given = re.search(r"retention\.(?:lengths|fractions)=\[([^\]]*)\]", line)
    return len(given[1].split(",")) if given else None


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
        assert dispatch(["finetune", *SMALL]) == 0
        code = dispatch(["report", *map(str, Path("outputs").glob("finetune/*/*")), *args[2:]])
    elif re.search(r"\b[A-Z_]{3,}\b|task=|model=|paper/", line):
        kept = [arg for arg in args if not re.search(r"\b[A-Z_]{3,}\b", arg)]
        one_job = [re.sub(r"^([\w.]+=[^,\[]+),.*", r"\1", arg) for arg in kept]  # --cfg shows one job of a sweep
        code = dispatch([*one_job, "--cfg", "job"])
    elif "--help" in args or args == ["--help"]:
        code = dispatch(args)
    else:
        timed = [*QUICK, "bench.models=[plain,shortened]"] if args[0] in ("bench", "sweep") else []
        two_values = [re.sub(r"^([\w.]+=[^,\[]+,[^,]+),.*", r"\1", arg) for arg in args]  # two are a sweep as three are
        if len([arg for arg in args if re.match(r"[\w.]+=[^,\[]+,", arg)]) > 1:  # and one grid of two as one of four
            two_values[-1] = two_values[-1].partition(",")[0]
        timed += ["target.trials=2"] if any("max_drop" in arg for arg in args) else []
        small = [*SMALL[:-1], f"model.config.num_hidden_layers={layers}"] if (layers := layers_of(line)) else SMALL
        code = dispatch([*two_values, *small, *timed])
    assert code == 0, capfd.readouterr().err


def first_screen():
    """The commands of somebody who has a model: all that name MODEL, FOLDER or JOB in the README's first block."""
    block = re.search(r"```bash\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), flags=re.S)
    lines = [line.split("#")[0].strip() for line in block[1].replace("\\\n", " ").splitlines()]
    return [line.removeprefix(".venv/bin/") for line in lines if "powerbert " in line and "pip install" not in line]


def test_the_first_screen_works_as_printed_on_a_model_of_others(tmp_path, monkeypatch, capfd):
    """A classifier as transformers saves it, with text labels: from its folder to a measured, shortened model."""
    monkeypatch.chdir(tmp_path)
    words = "abcdefghijklmnop"
    texts = [" ".join(words[(i * 7 + k) % 16] for k in range(3 + i % 20)) for i in range(64)]
    rows = pd.DataFrame({"text": texts, "label": ["negative" if "a" in text else "positive" for text in texts]})
    Path("reviews").mkdir()
    for split in ("train", "dev"):
        rows.to_csv(f"reviews/{split}.csv", index=False)
    save_model_dir(Path("mine"), make_host(num_hidden_layers=2), build_tokenizer(texts, 90))
    config = json.loads(Path("mine/config.json").read_text())
    names = {"0": "negative", "1": "positive"}
    config |= {"id2label": names, "label2id": {name: int(c) for c, name in names.items()}}
    Path("mine/config.json").write_text(json.dumps(config))
    assert [line.split()[1] for line in first_screen()] == ["check", "sweep", "bench", "predict"]
    small = {
        "check": ["seq_len=16", "batch_size=8"],
        "sweep": ["seq_len=16", "batch_size=8", "bench.examples=16", "bench.max_seconds=5", "bench.paddings=[sorted]"],
        # the files of other engines are those of test_export
        "bench": ["batch_size=8", *QUICK, "bench.models=[plain,shortened]", "bench.engines=[eager]"],
        "predict": [],
    }
    for line in first_screen():
        job = next(iter(sorted(Path("outputs/sweep").glob("*/*/0"))), Path("JOB"))
        for name, value in (("MODEL", "mine"), ("FOLDER", "reviews"), ("JOB", str(job)), ("TEXTS", "reviews/dev.csv")):
            line = re.sub(rf"\b{name}\b", value, line)
        args = shlex.split(line)[1:]
        assert dispatch([*args, *small[args[0]]]) == 0, (line, capfd.readouterr().err)
    answers = pd.read_csv("answers.csv")
    assert set(answers["label"]) <= {"negative", "positive"} and list(answers["text"]) == texts
