"""A disk that is full or cannot be written: one line, nothing lost, and the same command goes on when there is room."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

RETRAIN = ["retrain", "experiment=smoke", "lambda=1e-2", "runtime.threads=1"]


def run(folder, code=0, **env):
    command = [sys.executable, "-m", "powerbert_cli", *RETRAIN, f"output_dir={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env={**os.environ, **env})
    assert done.returncode == code, done.stdout + done.stderr
    return done


def results(folder):
    newest = max((folder / "retrain").glob("*/*"))
    return [(newest / name).read_text() for name in ("metrics.json", "retention.json", "predictions.csv")]


@pytest.fixture
def small_disk(tmp_path):
    """A function that makes the disk at tmp_path/disk as large as it is told to, or read-only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")

    def change(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
        return disk

    yield change
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk(small_disk, tmp_path):
    """It fills up in one stage after the other."""
    run(tmp_path / "whole")
    finished = []
    for size in ("300k", "1200k", "3m", "4m", "5m"):
        folder = small_disk(f"size={size}") / "out"
        error = run(folder, code=2).stderr
        assert error.startswith(f"powerbert: output_dir={folder}: cannot write: ") and error.count("\n") == 1
        finished.append({path.name for path in folder.glob("stages/[a-z]*")})
    assert all(earlier <= later for earlier, later in pairwise(finished))
    assert len({len(stages) for stages in finished}) > 1
    run(small_disk("size=40m") / "out")
    assert results(tmp_path / "disk" / "out") == results(tmp_path / "whole")


@pytest.mark.slow
def test_a_disk_that_became_read_only(small_disk):
    folder = small_disk("size=40m") / "out"
    run(folder)
    before = results(folder)
    small_disk("ro")
    done = run(folder, code=2)
    assert "Read-only file system; output_dir=FOLDER writes elsewhere" in done.stderr and done.stderr.count("\n") == 1
    assert results(folder) == before


@pytest.mark.slow
def test_a_cache_of_datasets_on_a_full_disk(small_disk, tmp_path):
    """The folder of the rows that were read is another one than that of the results."""
    (tmp_path / "data").mkdir()
    for name in ("train", "dev"):
        rows = "".join(f"some text number {i}\t{i % 2}\n" for i in range(20_000))
        (tmp_path / "data" / f"{name}.tsv").write_text(f"sentence\tlabel\n{rows}")
    cache = small_disk("size=200k")
    args = ["finetune", "model=tiny", "task=cola", f"task.data_dir={tmp_path}/data", f"output_dir={tmp_path}/out"]
    done = subprocess.run(
        [sys.executable, "-m", "powerbert_cli", *args],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "HF_DATASETS_CACHE": str(cache)},
    )
    assert done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
