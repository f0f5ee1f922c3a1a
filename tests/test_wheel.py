"""The built wheel, installed elsewhere, works without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import SMALL

from powerbert_cli.native import compiling

ROOT = Path(__file__).parents[1]


@pytest.mark.extras
def test_wheel_from_another_directory(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("powerbert-*.whl"))
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [*pip, "install", "--no-deps", "-q", "--target", str(site), str(wheel)], check=True, capture_output=True
    )
    env = {**os.environ, "PYTHONPATH": str(site)}

    def powerbert(*args):
        command = [sys.executable, "-m", "powerbert_cli", *args]
        return subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True, timeout=200)

    shipped = list(site.glob("powerbert_cli/native/kernels-*.so"))
    assert bool(shipped) == (compiling.find_compiler() is not None) == ("none-any" not in wheel.name)
    config = powerbert("retrain", "retention=paper/rte", "--cfg", "job")
    assert "- 153" in config.stdout, config.stderr
    info = powerbert("search", "--info", "searchpath").stdout
    assert str(site / "powerbert_cli" / "conf") in info.replace("\n", "")
    done = powerbert("finetune", *SMALL)
    assert done.returncode == 0 and "run directory:" in done.stdout, done.stderr
    assert str(ROOT) not in done.stdout
