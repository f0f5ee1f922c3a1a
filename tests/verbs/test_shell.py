"""Variables of the shell change no result, and those of launchers that are left over are named."""

import os
import subprocess
import sys

import pytest
import torch
from hosts import make_host, ours
from trainings import plan

from powerbert_cli import processes, shell
from powerbert_cli.cli import dispatch
from powerbert_cli.training.classifier import train_classifier
from powerbert_cli.training.trainer import arguments

SET = {
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "inductor",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_OFFLOAD_PARAMS": "true",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "XLA_USE_BF16": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
}


def set_all(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_variables_are_left_out_and_come_back(monkeypatch, caplog):
    set_all(monkeypatch, SET)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with shell.left_out() as names:
        assert not set(SET) & set(os.environ) and os.environ["OMP_NUM_THREADS"] == "1"
        os.environ["ACCELERATE_MIXED_PRECISION"] = "fp16"  # as transformers may, for itself
    assert all(os.environ[name] == value for name, value in SET.items())
    assert names == sorted(set(SET) - {"OMPI_COMM_WORLD_SIZE"})
    assert caplog.text.count("left out") == 1 and "ACCELERATE_MIXED_PRECISION" in caplog.text
    caplog.clear()
    with shell.left_out(), shell.left_out():
        pass
    assert caplog.text.count("left out") == 1


def test_the_settings_decide_the_precision_of_a_training(monkeypatch, tmp_path):
    set_all(monkeypatch, SET)
    with shell.left_out():
        args = arguments(plan(), tmp_path, None)
        assert args.mixed_precision == "no" and not args.torch_compile and args.world_size == 1


def test_a_training_is_the_same_with_them(monkeypatch, tmp_path, material):
    """Also where no command line has left them out before: from Python, and in a job on another machine."""
    found = []
    for name in ("without", "with"):
        model = ours(make_host(), (16, 8, 4))
        train_classifier(model, material, plan(), tmp_path / name, [])
        found.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
        set_all(monkeypatch, SET)
    assert torch.equal(*found)


LEFT_OVER = [
    ({"LOCAL_RANK": "0"}, "LOCAL_RANK=0 is set but RANK is not"),
    ({"RANK": "1"}, "RANK=1 is set but LOCAL_RANK is not"),
    ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 is set but RANK is not"),
    ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "RANK=0 is set but MASTER_ADDR is not"),
    ({"WORLD_SIZE": "abc"}, "WORLD_SIZE=abc must be a whole number"),
    ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK=-1 must be a whole number"),
    (
        {"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
        "RANK=2 must be below WORLD_SIZE=2",
    ),
]


@pytest.mark.parametrize(("variables", "message"), LEFT_OVER)
def test_left_over_variables_of_a_launcher_are_named(monkeypatch, folder, capfd, variables, message):
    """Before rows are read."""
    set_all(monkeypatch, variables)
    assert dispatch(["finetune", f"output_dir={folder / 'out'}"]) == 2
    err = capfd.readouterr().err
    assert message in err and "start the command with torchrun, or unset" in err and err.count("\n") == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500", "RANK": "0", "WORLD_SIZE": "1"},
        {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
    ],
)
def test_what_a_launcher_sets_is_taken(monkeypatch, variables):
    """The pod of a job of one, and a process of two."""
    set_all(monkeypatch, variables)
    processes.check()


def test_other_lines_say_who_speaks_whatever_the_variables_say(monkeypatch, capfd):
    monkeypatch.setenv("RANK", "abc")
    assert dispatch(["no_such_verb"]) == 2
    assert capfd.readouterr().err.startswith("powerbert: unknown verb")


DRAW = """
import os, sys
from powerbert_cli.report.agg import new_figure
new_figure(2, 1).savefig(sys.argv[1])
assert os.environ["MPLBACKEND"] == sys.argv[2]
"""


BACKENDS = ["module://matplotlib_inline.no_such", *(pytest.param(one, marks=pytest.mark.slow) for one in ("svg", "x"))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_are_drawn_by_agg(tmp_path, backend):
    """In a process of its own, as matplotlib reads the variable once, where it is imported."""
    picture = tmp_path / "x.png"
    environment = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", DRAW, picture, backend], check=True, env=environment)
    assert picture.read_bytes().startswith(b"\x89PNG")
