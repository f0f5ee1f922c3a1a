"""A sweep ends with the same table whatever launcher ran its jobs; a failed job does not lose the others."""

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import slurm
from small import QUICK, SMALL

PLUGINS = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}


MARKS = {"submitit_local": pytest.mark.slow, "joblib": pytest.mark.extras, "ray": pytest.mark.extras}
LAUNCHERS = [pytest.param(name, marks=mark) for name, mark in MARKS.items()]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_sweep_on(launcher, tmp_path):
    if find_spec("hydra_plugins") is None or find_spec(f"hydra_plugins.{PLUGINS[launcher]}") is None:
        pytest.skip(f"hydra/launcher={launcher} needs pip install '.[{launcher.partition('_')[0]}]'")
    args = ["sweep", *SMALL, "lambda=1e-2,-1", *QUICK, f"hydra/launcher={launcher}"]
    command = [sys.executable, "-m", "powerbert_cli", *args, f"output_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "automatic schema matching" not in done.stderr and "Traceback" not in done.stderr
    table = next(Path(tmp_path).glob("sweep/*/*/sweep.json"))
    results = {one["job"]: one for one in json.loads(table.read_text())["results"]}
    assert results[0]["status"] == "ok" and results[1]["status"] == "failed"
    assert results[1]["reason"].startswith("lambda=-1.0 must be")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := slurm.missing():
        pytest.skip(reason)
    if find_spec("hydra_plugins") is None or find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        pytest.skip("hydra/launcher=submitit_slurm needs pip install '.[submitit]'")
    with slurm.slurm(tmp_path_factory.mktemp("slurm")) as env:
        yield env


def start_on(env, verb, folder, *args):
    given = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=test", "hydra.launcher.cpus_per_task=1"]
    command = [sys.executable, "-m", "powerbert_cli", verb, *args, *given, f"output_dir={folder}"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_sweep_on_slurm(cluster, tmp_path):
    job = start_on(cluster, "sweep", tmp_path, "experiment=smoke", "lambda=1e-2,1e-1,-1", "bench.rounds=3")
    output, _ = job.communicate(timeout=280)
    assert job.returncode == 1, output
    results = json.loads(next(tmp_path.glob("sweep/*/*/sweep.json")).read_text())["results"]
    assert [one["status"] for one in results] == ["ok", "ok", "failed"], output


@pytest.mark.slow
def test_a_job_that_slurm_requeues_goes_on(cluster, tmp_path):
    """It ends with the metrics of a run that was never stopped."""
    args = ["-m", "task.synthetic.train=1000", "task.synthetic.dev=200", "runtime.save_minutes=0.001", "seed=0"]
    job = start_on(cluster, "finetune", tmp_path / "requeued", *args)
    checkpoints = tmp_path / "requeued" / "stages"
    while job.poll() is None and not list(checkpoints.glob(".finetune*.work/checkpoints/*/seal.json")):
        time.sleep(0.1)
    queue = subprocess.run(["squeue", "-h", "-o", "%A %T"], env=cluster, capture_output=True, text=True, check=True)
    number = queue.stdout.split()[0]
    subprocess.run(["scontrol", "requeue", number], env=cluster, check=True)
    output, _ = job.communicate(timeout=900)  # Slurm lets a requeued job wait for two minutes or more
    assert job.returncode == 0, output
    shown = subprocess.run(["scontrol", "show", "job", number], env=cluster, capture_output=True, text=True, check=True)
    assert "Restarts=1" in shown.stdout, shown.stdout
    whole = start_on(cluster, "finetune", tmp_path / "whole", *args)
    output, _ = whole.communicate(timeout=280)
    assert whole.returncode == 0, output
    found = [(tmp_path / name).glob("finetune/*/*/0/metrics.json") for name in ("requeued", "whole")]
    metrics = [next(paths).read_text() for paths in found]
    assert metrics[0] == metrics[1]
