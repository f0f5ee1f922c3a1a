"""What is lost with feed-forward neurons, nothing trained: python benchmarks/kcm.py MODEL OVERRIDE …

MODEL is the model directory of a finetune run, the overrides are those of its task. A row for each share of FLOPs,
score and tune option: dev metric, what it loses of the plain model's with its paired interval, and how many times as
fast as the plain model transformers' own model of the smaller weights is, in length-sorted batches, taking turns.
"""

import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from powerbert_cli.api import settings
from powerbert_cli.bench.ratio import speedup
from powerbert_cli.bench.timing import Contender, measure, warm_up
from powerbert_cli.pipeline.compress import Sizes, compressed
from powerbert_cli.pipeline.retrain import drop_of
from powerbert_cli.pipeline.trained import measure as measure_metric
from powerbert_cli.pipeline.work import Work
from powerbert_cli.store.stages import Stage
from powerbert_cli.tasks.batches import choose_rows, make_batches

SHARES, ROUNDS, EXAMPLES = (0.6, 0.7), 15, 256


def measured(work: Work, model_dir: Path, folder: Path) -> Stage:
    measure_metric(work, model_dir, folder)
    return Stage(folder, "", True)


def times_as_fast(work: Work, model_dirs: list[Path]) -> float:
    material, size = work.material, work.settings.batch_size
    rows = [material.dev[i] for i in choose_rows(len(material.dev), EXAMPLES, size, 0)]
    batches = make_batches(rows, "sorted", size, material.collator("max"), work.device, work.settings.seq_len)
    hosts = [work.host(model_dir).to(work.device) for model_dir in model_dirs]
    contenders = [
        Contender(name, "eager", "sorted", "fp32", host, batches, 1.0) for name, host in zip("ab", hosts, strict=True)
    ]
    warm_up(contenders, work.device)
    measure(contenders, ROUNDS, 60.0, work.device)
    return speedup(*(contender.seconds for contender in contenders))[0]


def main() -> None:
    model, *overrides = sys.argv[1:]
    given = settings("compress", f"model_dir={model}", "target.flops=0.6", *overrides)
    work, metric = Work(given), given.task.metric
    folder = Path(tempfile.mkdtemp())
    plain = measured(work, Path(model), folder / "plain")
    print(f"{given.task.name}, {metric}, plain {plain.value:.4f}, {torch.get_num_threads()} threads\n")
    print("| FLOPs | neurons | score | tune | metric | loss | 95% | times as fast |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for share in SHARES:
        speed = None
        for score, tune in product(("r2d2", "variance", "magnitude"), ("none", "scale", "refit")):
            own = work.of(
                replace(
                    given,
                    compress=replace(given.compress, score=score, tune=tune),
                    target=replace(given.target, flops=share),
                )
            )
            model_dir = compressed(own).model_dir
            found = measured(own, model_dir, folder / f"{share}-{score}-{tune}")
            drop = drop_of(metric, plain, found, 0.01)
            speed = speed or times_as_fast(own, [Path(model), model_dir])
            neurons = Sizes.of(own, own.host(Path(model)).config).neurons_for(own.settings.compress)
            print(
                f"| {share} | {neurons} | {score} | {tune} | {found.value:.4f} | {plain.value - found.value:+.4f} "
                f"| {drop.low:+.3f}..{drop.high:+.3f} | {speed:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
