"""A sweep ends with the same table whatever launcher ran its jobs; a failed job does not lose the others."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PLUGINS = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}


@pytest.mark.parametrize("launcher", PLUGINS)
def test_sweep_on(launcher, tmp_path):
    if find_spec("hydra_plugins") is None or find_spec(f"hydra_plugins.{PLUGINS[launcher]}") is None:
        pytest.skip(f"hydra/launcher={launcher} needs pip install 'powerbert[{launcher.partition('_')[0]}]'")
    args = ["sweep", "experiment=smoke", "lambda=1e-2,-1", "bench.rounds=3", f"hydra/launcher={launcher}"]
    command = [sys.executable, "-m", "powerbert_cli", *args, f"output_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "automatic schema matching" not in done.stderr and "Traceback" not in done.stderr
    table = next(Path(tmp_path).glob("sweep/*/*/sweep.json"))
    results = {one["job"]: one for one in json.loads(table.read_text())["results"]}
    assert results[0]["status"] == "ok" and results[1]["status"] == "failed"
    assert results[1]["reason"].startswith("lambda=-1.0 must be")
