"""Eight sweeps at once over the same outputs: each stage is made once, and a reader finds whole files only."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

SWEEPS = 8
LAMBDAS = ["1e-3", "3e-3", "1e-2", "3e-2"]
QUICK = ["task.synthetic.train=64", "task.synthetic.dev=32", "bench.paddings=[sorted]", "bench.rounds=3"]
MADE = re.compile(r"^(?:(finetune|retrain): tiny|search: in )", re.M)


def start(folder, number):
    """Three of the four λ each."""
    chosen = ",".join(LAMBDAS[(number + i) % 4] for i in range(3))
    args = ["sweep", "experiment=smoke", *QUICK, f"lambda={chosen}", "runtime.threads=1", f"output_dir={folder}"]
    command = [sys.executable, "-m", "powerbert_cli", *args, "bench.examples=32", "bench.max_seconds=1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


class Reader(threading.Thread):
    """Reads all that has appeared, over and over."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.stop, self.read, self.broken = folder, threading.Event(), 0, []

    def visible(self):
        for folder, folders, files in os.walk(self.folder):  # which passes over folders that vanish
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (Path(folder) / name for name in files if not name.startswith("."))

    def run(self):
        while not self.stop.is_set():
            for path in self.visible():
                try:
                    if path.suffix == ".json":
                        json.loads(path.read_text(encoding="utf-8"))
                    elif path.suffix == ".csv":
                        pd.read_csv(path)
                    else:
                        continue
                    self.read += 1
                except FileNotFoundError:
                    continue
                except Exception as error:
                    self.broken.append((path, error))
            time.sleep(0.05)


@pytest.mark.slow
def test_eight_sweeps_at_once(tmp_path):
    reader = Reader(tmp_path)
    reader.start()
    jobs = [start(tmp_path, number) for number in range(SWEEPS)]
    while not list(tmp_path.glob("stages/.*.work")):
        time.sleep(0.1)
    os.killpg(jobs[0].pid, signal.SIGKILL)  # perhaps the one that makes the fine-tune: its lock must not stay
    jobs[0].communicate()
    jobs[0] = start(tmp_path, 0)
    outputs = [job.communicate(timeout=560)[0] for job in jobs]
    reader.stop.set()
    reader.join()
    assert [job.returncode for job in jobs] == [0] * SWEEPS, outputs
    assert reader.read > 100 and not reader.broken
    sweeps = [pd.read_csv(path) for path in tmp_path.glob("sweep/*/*/sweep.csv")]
    assert len(sweeps) == SWEEPS and all(len(table) == 3 for table in sweeps)
    tables = [table.set_index("lambda")["value"] for table in sweeps]
    assert pd.concat(tables, axis=1).nunique(axis=1).eq(1).all()  # of the same λ the same result in each
    configurations = pd.concat(sweeps)["retention"].nunique()  # those of two λ can be the same
    stages = [path.name for path in tmp_path.glob("stages/*") if path.is_dir() and not path.name.startswith(".")]
    assert len(stages) == 1 + len(LAMBDAS) + 1 + configurations  # fine-tune, searches, the plain model, re-trainings
    made = sum(len(MADE.findall(output)) for output in outputs)
    assert made in (len(stages), len(stages) - 1)  # the one that was killed may have made the fine-tune
    assert not list(tmp_path.glob("stages/.*.work"))
