"""Draws metric against measured time: python benchmarks/front.py OUT.png --plain RUN … --short NAME=TIMING=RUN,RUN,… …

RUN is a run directory with metrics.json; of the plain runs of a seed the better one counts. TIMING is the timing.csv of
a bench run of the same configuration, in length-sorted batches. A point is the mean over the seeds, its bar the lowest
and highest seed, of one seed the 95% interval over examples; a panel for each precision. As jobs ran at different
moments, a time is that of the plain model divided by the speed-up that was measured beside it.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from drops import better_of_each_seed, metrics

matplotlib.use("agg")
import matplotlib.pyplot as plt


def point(axis, time, runs, label, **style):
    found = [metrics(run) for run in runs]
    mean = np.mean([one["value"] for one in found])
    low, high = found[0]["interval"] if len(found) == 1 else np.sort([one["value"] for one in found])[[0, -1]]
    bars = [[mean - low], [high - mean]]
    axis.errorbar(time, mean, yerr=bars, capsize=3, label=label, **style)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plain", nargs="+", type=Path, required=True)
    parser.add_argument("--short", nargs="+", required=True)
    parser.add_argument("--engine", default="eager", help="whose times are drawn")
    parser.add_argument("--limit", type=float, default=0.01, help="drop that is shaded")
    given = parser.parse_args()
    plain = better_of_each_seed(given.plain)
    values = [metrics(run)["value"] for run in plain.values()]
    entries = [entry.split("=", 2) for entry in given.short]
    timings = {timing: pd.read_csv(timing) for _, timing, _ in entries}
    timings = {timing: table[table["engine"] == given.engine] for timing, table in timings.items()}
    precisions = list(dict.fromkeys(name for table in timings.values() for name in table["precision"]))
    figure, axes = plt.subplots(1, len(precisions), figsize=(5.2 * len(precisions), 4.2), sharey=True, squeeze=False)
    colours = {timing: f"C{i}" for i, timing in enumerate(timings)}
    for axis, precision in zip(axes[0], precisions, strict=True):
        rows = {timing: table[table["precision"] == precision].set_index("model") for timing, table in timings.items()}
        own = float(np.median([1000 / table.loc["plain", "examples_per_s"] for table in rows.values()]))
        axis.axhspan(np.mean(values) - given.limit, np.mean(values), color="0.9", label=f"within {given.limit:g}")
        point(axis, own, plain.values(), "plain model", fmt="s", color="black")
        for number, (name, timing, runs) in enumerate(entries):
            time = own / float(rows[timing].loc["shortened", "speedup"])
            of_seeds, style = [Path(run) for run in runs.split(",")], {"fmt": "osv^Dx"[number % 6], "ms": 6}
            point(axis, time, of_seeds, name, color=colours[timing], **style)
        axis.set(xlim=(0, 1.1 * own), xlabel="ms per example, length-sorted batches", title=precision)
        axis.grid(alpha=0.3)
    task = metrics(next(iter(plain.values())))
    axes[0][0].set_ylabel(f"{task['task']} {task['metric']}")
    axes[0][-1].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(given.out, dpi=130)


if __name__ == "__main__":
    main()
