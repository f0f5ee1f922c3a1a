"""A training on two processes (torchrun, gloo) is the one of one process with the same effective batch."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from small import SMALL

from powerbert_cli.cli import dispatch

OWN = [*SMALL, "task.synthetic.train=122", "epochs=2", "lambda=1e-3", "lr=3e-3", "device=cpu"]
RETRAIN = ["retrain", *OWN, "training.max_grad_norm=0.5", "runtime.threads=1"]


def start(processes, *args):
    together = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [sys.executable, "-m", *together, "powerbert_cli", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def done(job, code=0):
    output, _ = job.communicate(timeout=280)
    assert job.returncode == code, output
    return output


def assert_same(one: Path, other: Path):
    """Each stage's model, retention parameters, predictions and history, to the last digit."""
    for name in ("finetune", "search", "retrain"):
        first, second = (next(folder.glob(f"stages/{name}-*")) for folder in (one, other))
        for file in ("model/model.safetensors", "predictions.csv", "metrics.json"):
            assert (first / file).read_bytes() == (second / file).read_bytes(), f"{name}: {file}"
        histories = [pd.read_csv(folder / "history.csv") for folder in (first, second)]
        # transformers' own running means of the loss begin anew when a run goes on, and are one process's at the end
        left_out = ("runtime", "per_second", "train_loss")
        names = [name for name in histories[0] if name != "loss" and not name.endswith(left_out)]
        kept = [history[names] for history in histories]
        pd.testing.assert_frame_equal(*kept, rtol=1e-6)
    r = [next(folder.glob("stages/search-*/retention_parameters.safetensors")).read_bytes() for folder in (one, other)]
    assert r[0] == r[1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, with two micro-batches where two processes have one each."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("powerbert_cli.tasks.metrics._RESAMPLES", 1000)  # as the two have
        assert dispatch([*RETRAIN, "training.accumulation=2", f"output_dir={folder}"]) == 0
    return folder


@pytest.mark.extras
def test_two_processes_do_what_one_does(alone, tmp_path):
    output = done(start(2, *RETRAIN, f"output_dir={tmp_path}"))
    assert output.count("retention configuration") == 1  # the second one is quiet
    assert_same(alone, tmp_path)
    assert len(list(tmp_path.glob("retrain/*/*"))) == 1


@pytest.mark.slow
def test_two_processes_that_sigterm_stops_go_on(alone, tmp_path):
    job = start(2, *RETRAIN, "runtime.save_minutes=0.001", f"output_dir={tmp_path}")
    while job.poll() is None and not list(tmp_path.glob("stages/.search*.work/checkpoints/*/seal.json")):
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert "SIGTERM: the training is saved" in done(job, code=1)  # torchrun's own code
    done(start(2, *RETRAIN, f"output_dir={tmp_path}"))
    assert_same(alone, tmp_path)


def test_what_several_processes_cannot_do(tmp_path, monkeypatch, capfd):
    """As the first of two that torchrun starts."""
    launched = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    assert dispatch(["sweep", f"output_dir={tmp_path}"]) == 2
    assert "sweep runs in one process; under torchrun: finetune, search, retrain" in capfd.readouterr().err
    assert dispatch(["search", *OWN, f"output_dir={tmp_path}", "batch_size=5"]) == 2
    assert "must be a multiple of training.accumulation=1 times 2 processes" in capfd.readouterr().err
