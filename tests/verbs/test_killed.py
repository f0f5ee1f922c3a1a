"""kill -9 at random moments, then the same command again: the result is that of a run that was never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = 10  # of each verb
ARGS = ["experiment=smoke", "runtime.threads=1", "runtime.save_minutes=0.001"]


def start(verb, folder):
    command = [sys.executable, "-m", "powerbert_cli", verb, *ARGS, f"output_dir={folder}"]
    command += [] if verb == "finetune" else ["lambda=1e-2"]
    command += ["bench.rounds=3"] if verb == "bench" else []
    # a session of its own, so that a kill takes all of it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


def finish(verb, folder):
    job = start(verb, folder)
    output, _ = job.communicate(timeout=280)
    assert job.returncode == 0, output
    return output


def found(folder, verb):
    """What decides whether two runs ended alike."""
    newest = max((folder / verb).glob("*/*"), key=lambda path: path.stat().st_mtime)
    results = {}
    for name in ("metrics.json", "retention.json", "predictions.csv"):
        path = newest / name
        results[name] = path.read_text() if path.is_file() else None
    if verb == "bench":
        runs = json.loads((newest / "timing.json").read_text())["runs"]
        results["contenders"] = [one["contender"] for run in runs for one in run["contenders"]]
    return results


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["finetune", "search", "retrain", "bench"])
def test_killed_at_random_moments(verb, tmp_path, record_property, capsys):
    began = time.monotonic()
    finish(verb, tmp_path / "whole")
    whole = time.monotonic() - began
    moments, kills = random.Random(verb), 0
    while kills < KILLS:
        job = start(verb, tmp_path / "killed")
        try:
            job.communicate(timeout=moments.uniform(0.1, 1.0) * whole)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            job.communicate()
            kills += 1
        else:  # it came to its end, so the next one begins anew
            assert job.returncode == 0
            assert found(tmp_path / "killed", verb) == found(tmp_path / "whole", verb)
            subprocess.run(["rm", "-rf", str(tmp_path / "killed")], check=True)
    finish(verb, tmp_path / "killed")
    assert found(tmp_path / "killed", verb) == found(tmp_path / "whole", verb)
    leftovers = [path.name for path in (tmp_path / "killed" / "stages").glob(".*.work")]
    assert not leftovers
    record_property("kills", kills)
    with capsys.disabled():
        print(f"\n{verb}: {kills} kills, as if never stopped")


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(tmp_path):
    finish("retrain", tmp_path / "whole")
    stopped, codes = tmp_path / "stopped", []
    for seconds in (6.0, 8.0, 10.0):
        job = start("retrain", stopped)
        try:
            job.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            job.send_signal(signal.SIGTERM)
            output, _ = job.communicate(timeout=60)
            assert "Traceback" not in output
        codes.append(job.returncode)
    assert set(codes) <= {0, 143, -15} and 143 in codes  # before Python has the handler it is the signal itself
    finish("retrain", stopped)
    assert found(stopped, "retrain") == found(tmp_path / "whole", "retrain")
