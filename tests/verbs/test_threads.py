"""Small models take one thread, and threads that wait for each other leave the core to others."""

import os
import subprocess
import sys

import pytest
import torch
from hosts import make_host

from powerbert_cli import shell
from powerbert_cli.cli import dispatch
from powerbert_cli.verbs import threads
from powerbert_cli.verbs.threads import SMALL, use_threads

QUIET = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def three(monkeypatch):
    """PyTorch's own choice."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_before", None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def config(size):
    return make_host("distilbert", dim=size, n_heads=1).config


@pytest.mark.parametrize(
    ("given", "size", "expected"), [(None, SMALL - 1, 1), (None, SMALL, 3), (2, SMALL - 1, 2), (2, SMALL, 2)]
)
def test_the_models_size_chooses_unless_the_user_does(three, given, size, expected):
    use_threads(given, config(size))
    assert torch.get_num_threads() == expected
    use_threads(None, config(SMALL))  # of the next job in the same process
    assert torch.get_num_threads() == 3


def test_a_variable_of_the_user_counts(three, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    use_threads(None, config(32))
    assert torch.get_num_threads() == 3


def test_a_run_takes_them_and_its_stage_is_the_same(three, folder, capfd):
    args = ["finetune", "experiment=smoke", "task.synthetic.train=16", "task.synthetic.dev=8", "epochs=1"]
    for more, expected in (([], 1), (["runtime.threads=2"], 2)):
        assert dispatch([*args, *more]) == 0, capfd.readouterr().err
        assert torch.get_num_threads() == expected
    assert "is finished already" in capfd.readouterr().out


def test_what_the_user_says_of_waiting_counts(monkeypatch):
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    shell.wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE" and "KMP_BLOCKTIME" not in os.environ


def test_it_is_said_before_pytorch_is_imported():
    """The OpenMP that PyTorch came with has then read it: it shows what it took where it is asked to."""
    environment = {name: value for name, value in os.environ.items() if name not in QUIET}
    script = "import powerbert_cli.cli, torch; torch.ones(10**6).add_(1)"
    environment["OMP_DISPLAY_ENV"] = "VERBOSE"
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True).stderr
    said = [line for line in shown.splitlines() if "WAIT_POLICY" in line or "SPINCOUNT" in line or "BLOCKTIME" in line]
    assert said and not any("ACTIVE" in line and "PASSIVE" not in line for line in said), shown
    assert all("'0'" in line for line in said if "SPINCOUNT" in line or "BLOCKTIME" in line)
