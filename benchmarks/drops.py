"""What shortened models lose, over seeds: python benchmarks/drops.py --plain RUN … --short NAME=RUN,RUN,… …

RUN is a run directory with metrics.json and predictions.csv. Of the plain runs of a seed (fine-tuned, and
trained on as long) the better one is the baseline. Prints a Markdown table: means over the seeds, the drop with the
95% interval of a paired bootstrap over the dev examples (the seeds' losses on an example averaged), and the t-interval
over the seeds.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from powerbert_cli.tasks.metrics import spread


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def better_of_each_seed(runs: list[Path]) -> dict[int, Path]:
    """Of the plain runs, the one with the best metric for each seed."""
    best: dict[int, Path] = {}
    for run in runs:
        seed = metrics(run)["seed"]
        if seed not in best or metrics(run)["value"] > metrics(best[seed])["value"]:
            best[seed] = run
    return best


def losses(plain: Path, short: Path) -> np.ndarray:
    """Per example: 1 where only the plain model is right, -1 where only the shortened one is."""
    tables = [pd.read_csv(run / "predictions.csv") for run in (plain, short)]
    labels = [table["label"].to_numpy() for table in tables]
    assert (labels[0] == labels[1]).all(), "the runs are of other examples"
    hits = [(table["label"] == table["prediction"]).to_numpy().astype(float) for table in tables]
    return hits[0] - hits[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", nargs="+", type=Path, required=True)
    parser.add_argument("--short", nargs="+", required=True)
    given = parser.parse_args()
    best = better_of_each_seed(given.plain)
    print("| model | seeds | accuracy | plain | drop | 95% over examples | 95% over seeds | each seed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for entry in given.short:
        name, _, runs = entry.partition("=")
        folders = [Path(run) for run in runs.split(",")]
        seeds = [metrics(run)["seed"] for run in folders]
        lost = np.stack([losses(best[seed], run) for seed, run in zip(seeds, folders, strict=True)])
        drawn = np.random.default_rng(0).integers(lost.shape[1], size=(2000, lost.shape[1]))
        low, high = np.percentile(lost.mean(axis=0)[drawn].mean(axis=1), [2.5, 97.5])
        drops = lost.mean(axis=1)
        over = ""
        if len(seeds) > 1:
            found = spread(drops)
            over = f"{found.low:+.4f}..{found.high:+.4f}"
        value = np.mean([metrics(run)["value"] for run in folders])
        plain = np.mean([metrics(best[seed])["value"] for seed in seeds])
        each = ", ".join(f"{drop:+.4f}" for drop in drops)
        print(
            f"| {name} | {len(seeds)} | {value:.4f} | {plain:.4f} | {drops.mean():+.4f} | {low:+.4f}..{high:+.4f} "
            f"| {over} | {each} |"
        )


if __name__ == "__main__":
    main()
