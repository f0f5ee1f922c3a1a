"""What a command imports: nothing that it does not use."""

import json
import shlex
import subprocess
import sys

import pytest
from small import SMALL

HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "hydra",
    "sklearn",
    "scipy",
    "pandas",
    "matplotlib",
    "onnx",
    "onnxruntime",
}
CODE = """
import json, os, sys
from powerbert_cli import cli
found = []
commands, answer = map(str, sys.argv[1:])
for args in json.loads(commands):
    sys.argv[1:] = args
    try:
        cli.main()
    except SystemExit as leave:
        found.append([leave.code, [name for name in sys.modules if "." not in name], os.listdir()])
with open(answer, "w") as file:
    json.dump(found, file)
"""


def imported(folder, *commands):
    """Of each command, one after the other in a new process: its exit code, what is imported, what is in the folder.

    The process starts with its output closed.
    """
    command = shlex.join([sys.executable, "-c", CODE, json.dumps(commands), str(folder.with_suffix(".json"))])
    subprocess.run(f"{command} >&- 2>&-", shell=True, cwd=folder, timeout=280, check=True)
    found = json.loads(folder.with_suffix(".json").read_text())
    return [(code, HEAVY & set(names), files) for code, names, files in found]


def test_help_imports_nothing_heavy_and_composing_hydra_alone(tmp_path):
    found = imported(tmp_path, ["--help"], ["sweep", "--help"], ["--version"], ["sweep", "--cfg", "job"])
    assert found == [(0, set(), [])] * 3 + [(0, {"hydra"}, [])]


def test_a_wrong_value_is_refused_before_anything_heavy_is_imported(tmp_path):
    """And leaves no empty folder; a sweep, which has jobs, leaves what it says of them."""
    wrong = [["finetune", "epochs=abc"], ["bench", "device=gpu"], ["retrain", "model_dir=nowhere"]]
    wrong += [["predict", "model_dir=nowhere"], ["finetune", "model.name_or_path=somewhere"]]
    multirun = ["search", "-m", "lambda=-1,-2", "hydra.sweep.dir=sweep"]
    found = imported(tmp_path, *wrong, ["sweep", "lr=-1"], multirun)
    for args, (code, modules, files) in zip([*wrong, ["sweep"], ["search"]], found, strict=True):
        assert code == (1 if args == ["search"] else 2), args
        assert not modules & {"torch", "transformers", "datasets", "sklearn", "scipy"}, args
        assert args[0] in ("sweep", "search") or not files, args


@pytest.mark.extras
def test_finetune_imports_no_engine_and_no_plots(tmp_path):
    [(code, modules, _)] = imported(tmp_path, ["finetune", *SMALL])
    assert code == 0 and not modules & {"matplotlib", "onnx", "onnxruntime"}
