"""What the draw of unlabelled texts decides, as KCM's Table 3 shows it: python benchmarks/kcm_draws.py MODEL OVERRIDE …

MODEL is the model directory of a finetune run, the overrides are those of its task. A row for each share of FLOPs and
way of removing neurons: mean and standard deviation of the dev metric over ten draws of compress.examples texts.
"""

import statistics
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

from kcm import SHARES, measured

from powerbert_cli.api import settings
from powerbert_cli.stages.run import Run

DRAWS = 10
WAYS = {
    "KCM as published": {"widths": "layer", "score": "r2d2", "tune": "scale"},
    "variance, refit": {"widths": "uniform", "score": "variance", "tune": "refit"},
}


def main() -> None:
    model, *overrides = sys.argv[1:]
    given = settings("compress", f"model_dir={model}", "target.flops=0.6", *overrides)
    job, metric = Run(given), given.task.metric
    folder = Path(tempfile.mkdtemp())
    plain = measured(job.context, Path(model), folder / "plain").value
    print(f"{given.task.name}, {metric}, plain {plain:.4f}, {DRAWS} draws of {given.compress.examples} texts\n")
    print("| FLOPs | way | mean | standard deviation | least | most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for share, (name, way) in product(SHARES, WAYS.items()):
        values = []
        for seed in range(DRAWS):
            options, target = replace(given.compress, **way), replace(given.target, flops=share)
            own = job.of(replace(given, compress=options, target=target, seed=seed))
            made = own.model_dir(own.graph.compressed)
            values.append(measured(own.context, made, folder / f"{share}-{name}-{seed}").value)
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        print(
            f"| {share} | {name} | {mean:.4f} | {deviation:.4f} | {min(values):.4f} | {max(values):.4f} |", flush=True
        )


if __name__ == "__main__":
    main()
