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
from powerbert_cli.compress.sizes import Sizes
from powerbert_cli.stages.context import Context
from powerbert_cli.stages.retrain import drop_of
from powerbert_cli.stages.run import Run
from powerbert_cli.stages.trained import measure as measure_metric
from powerbert_cli.store.stages import Stage
from powerbert_cli.tasks.batches import choose_rows, make_batches

SHARES, ROUNDS, EXAMPLES = (0.6, 0.7), 15, 256


def measured(context: Context, model_dir: Path, folder: Path) -> Stage:
    measure_metric(context, model_dir, folder)
    return Stage(folder, "", True)


def times_as_fast(context: Context, model_dirs: list[Path]) -> float:
    material, size = context.material, context.settings.batch_size
    rows = [material.dev[i] for i in choose_rows(len(material.dev), EXAMPLES, size, 0)]
    batches = make_batches(rows, "sorted", size, material.collator("max"), context.device, context.settings.seq_len)
    hosts = [context.host(model_dir).to(context.device) for model_dir in model_dirs]
    contenders = [
        Contender(name, "eager", "sorted", "fp32", host, batches, 1.0) for name, host in zip("ab", hosts, strict=True)
    ]
    warm_up(contenders, context.device)
    measure(contenders, ROUNDS, 60.0, context.device)
    return speedup(*(contender.seconds for contender in contenders))[0]


def main() -> None:
    model, *overrides = sys.argv[1:]
    given = settings("compress", f"model_dir={model}", "target.flops=0.6", *overrides)
    job, metric = Run(given), given.task.metric
    folder = Path(tempfile.mkdtemp())
    plain = measured(job.context, Path(model), folder / "plain")
    print(f"{given.task.name}, {metric}, plain {plain.value:.4f}, {torch.get_num_threads()} threads\n")
    print("| FLOPs | neurons | score | tune | metric | loss | 95% | times as fast |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for share in SHARES:
        speed = None
        for score, tune in product(("r2d2", "variance", "magnitude"), ("none", "scale", "refit")):
            options = replace(given.compress, score=score, tune=tune)
            own = job.of(replace(given, compress=options, target=replace(given.target, flops=share)))
            model_dir = own.model_dir(own.graph.compressed)
            found = measured(own.context, model_dir, folder / f"{share}-{score}-{tune}")
            drop = drop_of(metric, plain, found, 0.01)
            speed = speed or times_as_fast(own.context, [Path(model), model_dir])
            options, config = own.settings.compress, own.context.host(Path(model)).config
            neurons = Sizes.of(options, config, own.context.material.train["length"]).neurons_for(options)
            print(
                f"| {share} | {neurons} | {score} | {tune} | {found.value:.4f} | {plain.value - found.value:+.4f} "
                f"| {drop.low:+.3f}..{drop.high:+.3f} | {speed:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
