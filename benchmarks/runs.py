"""Metrics of many runs by config keys, over seeds: python benchmarks/runs.py FOLDER KEY [KEY ...] [--picture FILE]

Prints a Markdown table with one row for each combination of the keys' values that occurs in the
runs below FOLDER (those with config.yaml and metrics.json), and draws it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from powerbert_cli.tasks.metrics import spread


def read_runs(folder: Path, keys: list[str]) -> pd.DataFrame:
    """One row for each run: its keys, seed and metric. Of runs that are alike the newest counts."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("metrics.json")):
        if path.parent.name == "model" or not (path.parent / "config.yaml").is_file():
            continue
        config, metrics = OmegaConf.load(path.parent / "config.yaml"), json.loads(path.read_text(encoding="utf-8"))
        values = {key: OmegaConf.select(config, key) for key in keys}
        rows.append({**values, "seed": metrics["seed"], "metric": metrics["metric"], "value": metrics["value"]})
    return pd.DataFrame(rows).drop_duplicates([*keys, "seed"], keep="last")


def over_seeds(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean, standard deviation and 95% t-interval of the metric for each combination of the keys."""
    rows = []
    for values, group in runs.groupby(keys, sort=False, dropna=False):
        scores = group["value"].to_numpy()
        row = {**dict(zip(keys, values, strict=True)), "seeds": len(scores), "mean": scores.mean()}
        if len(scores) > 1:
            found = spread(scores)
            row |= {"std": found.std, "low": found.low, "high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def print_table(table: pd.DataFrame, keys: list[str], metric: str) -> None:
    heads = [*keys, "seeds", metric, "±", "95% of the mean"]
    print("| " + " | ".join(heads) + " |\n| " + " | ".join("---" for _ in heads) + " |")
    for row in table.to_dict("records"):
        several = row["seeds"] > 1
        cells = [str(row[key]) for key in keys] + [str(row["seeds"]), f"{row['mean']:.4f}"]
        cells += [f"{row['std']:.4f}", f"{row['low']:.3f} to {row['high']:.3f}"] if several else ["", ""]
        print("| " + " | ".join(cells) + " |")


def draw(runs: pd.DataFrame, table: pd.DataFrame, keys: list[str], path: Path) -> None:
    """A point for each run and a bar for each mean."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 1.1 * len(table), 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    labels = ["\n".join(f"{key.rpartition('.')[2]}={row[key]}" for key in keys) for row in table.to_dict("records")]
    axis.bar(range(len(table)), table["mean"], color="tab:blue", alpha=0.4)
    for i, row in enumerate(table.to_dict("records")):
        same = (runs[keys] == pd.Series({key: row[key] for key in keys})).all(axis=1)
        axis.plot([i] * int(same.sum()), runs.loc[same, "value"], "o", color="tab:blue", ms=5)
    axis.set_xticks(range(len(table)), labels, fontsize=8)
    axis.set_ylabel(f"dev {runs['metric'].iloc[0]} (points: seeds, bars: mean)")
    axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    runs = read_runs(given.folder, given.keys)
    table = over_seeds(runs, given.keys)
    print_table(table, given.keys, runs["metric"].iloc[0])
    if given.picture:
        draw(runs, table, given.keys, given.picture)


if __name__ == "__main__":
    main()
