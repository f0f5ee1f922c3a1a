"""Peak memory of evaluation and prediction on a generated file: python benchmarks/memory.py ROWS [ROWS …]

For each number of rows a dev and a test file are generated, and `powerbert finetune predict_test=true` reads,
tokenises and answers both in a process of its own, with a model so small that the rows are what there is. Its own
(anonymous) memory and the mapped files that happen to be in memory are sampled from /proc, so this runs on Linux.
Prints a Markdown table.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [f"w{i}" for i in range(500)]
SMALL = [f"model.config.{name}" for name in ("num_hidden_layers=1", "hidden_size=16", "num_attention_heads=1")]
TASK = ["task=custom", "task.text_columns=[text]", "task.label_names=[no,yes]", "seq_len=16", "batch_size=256"]


def generate(path: Path, rows: int) -> None:
    draw = random.Random(rows)
    with path.open("w", encoding="utf-8") as stream:
        stream.write("text\tlabel\n")
        for i in range(rows):
            stream.write(f"{' '.join(draw.choices(WORDS, k=10))}\t{i % 2}\n")


def in_memory(process: int) -> tuple[int, int]:
    """Anonymous and file-backed bytes of a process."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, 0
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return found.get("RssAnon", 0), found.get("RssFile", 0)


def measure(rows: int) -> tuple[int, int, int, float]:
    """Bytes of the dev file, peaks of anonymous and file-backed memory, seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder / "train.tsv", 2000)
        generate(folder / "dev.tsv", rows)
        generate(folder / "test.tsv", rows)
        args = ["finetune", *TASK, f"task.data_dir={folder}", *SMALL, "epochs=1", "predict_test=true", "device=cpu"]
        command = [sys.executable, "-m", "powerbert_cli", *args, f"output_dir={folder}/outputs"]
        env = {**os.environ, "HF_DATASETS_CACHE": f"{folder}/cache"}
        began, peaks = time.monotonic(), (0, 0)
        job = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        while job.poll() is None:
            now = in_memory(job.pid)
            peaks = max(peaks[0], now[0]), max(peaks[1], now[1])
            time.sleep(0.1)
        if job.returncode:
            sys.exit(f"the run left with {job.returncode}")
        return (folder / "dev.tsv").stat().st_size, *peaks, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="+", type=int)
    print("| rows of each file | file, MB | own memory, MB | mapped files in memory, MB | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for rows in parser.parse_args().rows:
        size, own, mapped, seconds = measure(rows)
        print(f"| {rows} | {size / 1e6:.0f} | {own / 1e6:.0f} | {mapped / 1e6:.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
