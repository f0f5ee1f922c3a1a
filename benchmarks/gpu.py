"""Ways to answer on a GPU, at BERT-base size in bfloat16: python benchmarks/gpu.py DATA [--seconds N] [--rehearse]

DATA has glue/cola, glue/rte and imdb, for lengths alone: weights are random. For batches of 128, 32 and 1 of each task
it times, in turns in one process, transformers' model, this encoder without graphs (PyTorch's attention of variable
length), and recorded as CUDA graphs, each with all word-vectors and with the published configuration (of IMDB
one that falls by a constant factor). Then transformers' model compiled, with CUDA graphs for each padded length, as
long as there is time. Each table is written when it is there. `busy` is the time in which the device computes,
`prepared` what came before the first answers. --rehearse does the same on a CPU, with a tiny model and made-up texts.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch

from powerbert_cli.api import settings
from powerbert_cli.bench import engines
from powerbert_cli.bench.contenders import Field, build_contenders, models_of
from powerbert_cli.bench.place import Place
from powerbert_cli.bench.ratio import speedup
from powerbert_cli.bench.table import table
from powerbert_cli.bench.timing import Contender, fill_busy, measure, warm_up
from powerbert_cli.captured.model import tried
from powerbert_cli.captured.operators import by_flash_attention
from powerbert_cli.recipes.timed_models import contender_model
from powerbert_cli.stages.run import Run

FALLING = "[0.85,0.72,0.61,0.52,0.44,0.38,0.32,0.27,0.23,0.2,0.17,0.01]"
TASKS = {
    "imdb": ("imdb", ["seq_len=512", "task.max_train=1000", "task.max_dev=600", f"retention.fractions={FALLING}"]),
    "rte": ("glue/rte", ["retention=paper/rte"]),
    "cola": ("glue/cola", ["retention=paper/cola"]),
}
SIZES, BATCHES = (128, 32, 1), 2  # batches, so that transformers' model is compiled for two lengths
ROUNDS = 20


def tries_to_record_flash_attention() -> str:
    """Whether PyTorch's attention of variable length, recorded once, answers for other lengths."""
    if not torch.cuda.is_available():
        return "attention of variable length: no GPU, so it was not recorded"
    qkv = torch.randn(512, 3, 12, 64, device="cuda", dtype=torch.bfloat16)
    starts, other = (torch.tensor(one, dtype=torch.int32, device="cuda") for one in ([0, 256, 512], [0, 130, 300]))
    try:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            by_flash_attention(qkv, starts, 256)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            context, lse = by_flash_attention(qkv, starts, 256)
        starts.copy_(other)
        graph.replay()
        expected, expected_lse = by_flash_attention(qkv, other, 256)
        same = torch.equal(context[:300], expected[:300]) and torch.equal(lse[:, :300], expected_lse[:, :300])
    except Exception as error:  # whatever it is, the rest of the tables is worth having
        return f"attention of variable length cannot be recorded: {error}"
    return f"attention of variable length, recorded and replayed with other lengths: {'alike' if same else 'NOT alike'}"


def jobs(given: argparse.Namespace) -> dict[str, Run[Any]]:
    if given.rehearse:
        made = settings("bench", "task=synthetic", "model=tiny", "device=cpu", "retention.lengths=[12,8,5,3]")
        return {"synthetic": Run(made)}
    device = ["model=bert-base-random", "device=cuda"]
    return {
        name: Run(settings("bench", f"task={name}", f"task.data_dir={given.data}/{folder}", *device, *more))
        for name, (folder, more) in TASKS.items()
    }


def contenders_of(job: Run[Any], fields: list[Field], size: int, place: Place) -> list[Contender]:
    model, _, _ = contender_model(job)
    rows = [job.context.material.dev[i] for i in range(min(BATCHES * size, len(job.context.material.dev)))]
    found: list[Contender] = []
    for field in fields:
        pad = job.context.material.collator("max")
        made, skipped = build_contenders(models_of(model), rows, pad, field, size, job.settings.seq_len, place, {})
        for one in skipped:
            print(f"{one.model}/{one.engine} is left out: {one.reason}", flush=True)
        found += made
    return found


def shown(contenders: list[Contender], title: str, size: int, seq_len: int) -> None:
    timing = table(contenders, size, seq_len)
    eager = next(c for c in contenders if (c.model, c.engine) == ("plain", "eager"))
    print(f"\n{title}\n\n| model | engine | ms | busy ms | prepared s | vs best plain | vs transformers, eager |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for c, row in zip(contenders, timing.to_dict("records"), strict=True):
        busy = "" if pd.isna(row["device_busy_s"]) else f"{1000 * row['device_busy_s']:.2f}"
        ratios = []
        for found in (
            [row["speedup_vs_best" + end] for end in ("", "_low", "_high")],
            speedup(eager.seconds, c.seconds),
        ):
            ratios.append(f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})")
        times = f"{1000 * row['median_s']:.2f} | {busy} | {row['prepared_s']:.1f}"
        print(f"| {c.model} | {c.engine} | {times} | {' | '.join(ratios)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rehearse", action="store_true")
    given = parser.parse_args()
    begun = time.monotonic()
    device, precision = ("cpu", "fp32") if given.rehearse else ("cuda", "bf16")
    where = torch.cuda.get_device_name() if device == "cuda" else "a CPU, so that times mean nothing"
    print(f"{where}; torch {torch.__version__}\n\n{tries_to_record_flash_attention()}", flush=True)
    ways = [
        Field(["plain", "full", "shortened"], ["eager"], ["sorted"], [precision]),
        Field(["full", "shortened"], ["captured"], ["sorted"], [precision]),
    ]
    compiled = Field(["plain"], ["compile"], ["sorted"], [precision])
    with ExitStack() as stack:
        files = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.rehearse:
            made = patch.object(engines, "_captured", lambda name, model, *_: tried(engines.as_packed(model)))
            stack.enter_context(made)
            stack.enter_context(torch.inference_mode())
        points = [(name, job, size) for name, job in jobs(given).items() for size in SIZES]
        for fields, what in ((ways, ""), ([*ways, compiled], ", and compiled")):
            for name, job, size in points:
                if time.monotonic() - begun > given.seconds:
                    print(f"\nno time for {name}, batches of {size}{what}", flush=True)
                    continue
                contenders = contenders_of(job, fields, size, Place(device, torch.get_num_threads(), files))
                contenders, _ = warm_up(contenders, device)
                measure(contenders, 3 if given.rehearse else ROUNDS, 10, device)
                fill_busy(contenders, device)
                shown(contenders, f"{name}, batches of {size}{what}", size, job.settings.seq_len)


if __name__ == "__main__":
    main()
