"""What a command imports: nothing that it does not use."""

import json
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
import contextlib, io, json, sys
from powerbert_cli.cli import dispatch
with contextlib.redirect_stdout(io.StringIO()):
    code = dispatch(sys.argv[1:])
assert code in (0, 2), code
print(json.dumps([name for name in sys.modules if "." not in name]))
"""


def imported(folder, *args):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *args], cwd=folder, capture_output=True, text=True, timeout=280, check=True
    )
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("args", [["--help"], ["sweep", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(args, tmp_path):
    assert imported(tmp_path, *args) == set()


def test_composing_imports_hydra_alone(tmp_path):
    assert imported(tmp_path, "sweep", "--cfg", "job") == {"hydra"}


@pytest.mark.parametrize(
    "args",
    [["finetune", "epochs=abc"], ["bench", "device=gpu"], ["retrain", "model_dir=nowhere"], ["sweep", "lr=-1"],
     ["predict", "model_dir=nowhere"], ["finetune", "model.name_or_path=somewhere"]],
)  # fmt: skip
def test_a_wrong_value_is_refused_before_anything_heavy_is_imported(args, tmp_path):
    assert not imported(tmp_path, *args) & {"torch", "transformers", "datasets", "sklearn", "scipy"}
    assert args[0] == "sweep" or not list(tmp_path.iterdir())  # and it leaves no empty folder


def test_finetune_imports_no_engine_and_no_plots(tmp_path):
    assert not imported(tmp_path, "finetune", *SMALL) & {"matplotlib", "onnx", "onnxruntime"}
