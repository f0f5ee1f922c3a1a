"""Where the native engine's time goes: native_profile.py MODEL DATA, DATA with glue/cola, glue/rte and imdb.

CPU milliseconds of a batch in one thread, each the least of several; weights decide nothing. `of peak` is the share of
a large product's throughput here that the whole pass reaches.
"""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

from powerbert_cli.bench.contenders import batch_cost
from powerbert_cli.cli import conf_dir
from powerbert_cli.encoder.families import layers_of
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.classification import Classification
from powerbert_cli.method.elimination import Elimination, plain
from powerbert_cli.method.retention import Fractions
from powerbert_cli.models.tokenizers import own_tokenizer
from powerbert_cli.native import model as native_model
from powerbert_cli.native.calibration import calibrated
from powerbert_cli.native.kernels import Scale
from powerbert_cli.native.model import NativeModel
from powerbert_cli.native.products import ByteProduct, FloatProduct
from powerbert_cli.settings.typed import from_config
from powerbert_cli.store.environment import cpu_flags
from powerbert_cli.tasks.batches import make_batches
from powerbert_cli.tasks.sources import load_task
from powerbert_cli.tasks.tokenizing import tokenize
from powerbert_cli.verbs import settings_of

RTE = (0.8, 0.55, 0.35, 0.25, 0.15, 0.05)
TASKS = {  # folder, batch, ℓ, fractions
    "CoLA": ("glue/cola", 32, 64, (0.9, 0.7, 0.5, 0.4, 0.3, 0.1)),
    "RTE": ("glue/rte", 16, 256, RTE),
    "IMDB": ("imdb", 8, 512, RTE),
}
PARTS = ("products", "attend", "add_norm", "activate", "rest")
RUNS = 7


KIND = Classification(None, "accuracy")  # what is measured asks no labels


def main(name: str, data: Path) -> None:
    tokenizer = own_tokenizer(name, "")
    host = AutoModelForSequenceClassification.from_pretrained(name).eval()
    x, exact, scale = torch.randn(2048, 768), FloatProduct(torch.randn(3072, 768), None), Scale.of_range(-4.0, 4.0)
    given = {"fp32": (exact, x), "int8": (ByteProduct(exact, scale), scale.quantised(x))}
    flops = 2 * x.shape[0] * exact.weight.numel()
    peaks = {kind: flops / least(lambda p=p, x=x: p(x))[0] * 1000 for kind, (p, x) in given.items()}
    print(
        f"CPU {' '.join(cpu_flags())}; peak {', '.join(f'{k} {v / 1e9:.0f}' for k, v in peaks.items())} G/s, one thread"
    )
    print(f"| task, batch | model | precision | ms in PyTorch | ms | {' | '.join(PARTS)} | of peak |")
    print("| --- " * (len(PARTS) + 6) + "|")
    for task, (folder, size, seq_len, fractions) in TASKS.items():
        rows = rows_of(task.lower(), data / folder)
        tokens = list(tokenize(rows.select(range(size)), KIND, tokenizer, seq_len))
        tokens = [{k: v for k, v in row.items() if k != "length"} for row in tokens]
        pad = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=seq_len)
        batch = make_batches(tokens[:size], "longest", size, pad, "cpu", seq_len)[0]
        inputs = make_batches(tokens[:8], "longest", 1, pad, "cpu", seq_len)
        for kind, elimination in {
            "nothing removed": plain(seq_len, layers_of(host.config)),
            "word-vectors removed": Elimination(Fractions(fractions), seq_len),
        }.items():
            model = ShortenedModel(host, elimination).eval()
            with torch.inference_mode():
                before, _ = least(lambda m=model, b=batch: m(**b))
            flops = sum(one.flops for layer in batch_cost(batch, model) for one in layer.values())
            for precision in peaks:
                run = NativeModel(model) if precision == "fp32" else calibrated(model, inputs)
                total, found = least(lambda r=run, b=batch: r(**b))
                cells = " | ".join(f"{found[part]:.1f}" for part in PARTS)
                share = flops / (total / 1000) / peaks[precision]
                print(
                    f"| {task}, {size} | {kind} | {precision} | {before:.1f} | {total:.1f} | {cells} | {share:.0%} |",
                    flush=True,
                )


def rows_of(task: str, folder: Path) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("bench", overrides=[f"task={task}", f"task.data_dir={folder}"])
    return load_task(from_config(cfg, settings_of("bench")).task).dev.rows


taken: Counter[str] = Counter()


def clocked(owner: Any, name: str, part: str) -> None:
    function = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            taken[part] += time.thread_time() - start

    setattr(owner, name, timed)


def least(run: Any) -> tuple[float, dict[str, float]]:
    """Milliseconds of the fastest run, and of its parts."""
    best: tuple[float, dict[str, float]] = (float("inf"), {})
    for _ in range(RUNS):
        taken.clear()
        start = time.thread_time()
        run()
        total = 1000 * (time.thread_time() - start)
        if total < best[0]:
            each = {part: 1000 * seconds for part, seconds in taken.items()}
            best = (total, {**dict.fromkeys(PARTS, 0.0), **each, "rest": total - sum(each.values())})
    return best


if __name__ == "__main__":
    torch.set_num_threads(1)
    for kernel in ("attend", "add_norm", "activate"):
        clocked(native_model, kernel, kernel)
    clocked(NativeModel, "_product", "products")
    main(sys.argv[1], Path(sys.argv[2]))
