"""What a run says at its end."""

from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from ..method.retention import kept_share
from ..store.artifacts import read_json
from ..store.retention_file import RetentionFile
from .console import console


def say_metrics(path: Path, what: str) -> float:
    """Prints a metrics.json; returns its headline value."""
    metrics = read_json(path)
    low, high = metrics["interval"]
    console.print(
        f"{what}: {metrics['task']} {metrics['split']} {metrics['metric']} {metrics['value']:.4f} "
        f"(95% interval {low:.4f} to {high:.4f}, n={metrics['n']}, seed {metrics['seed']})"
    )
    return float(metrics["value"])


def say_retention(retention: RetentionFile) -> float:
    """Prints a retention configuration; returns the share of word-vectors kept."""
    elimination = retention.elimination
    if elimination.thresholds:
        console.print(f"thresholds: {', '.join(f'{value:.3f}' for value in elimination.thresholds)}")
    if elimination.lengths is None:
        return 1.0
    share = kept_share(elimination.lengths, elimination.seq_len)
    average = " on average over dev" if elimination.thresholds else ""
    console.print(
        f"retention configuration (ℓ={elimination.seq_len}): {','.join(map(str, elimination.lengths))}"
        f" keeps {share:.1%} of the word-vectors{average}"
    )
    return share


def say_run_dir(run_dir: Path) -> None:
    console.print(f"run directory: {run_dir}")


def plain_table(title: str, columns: dict[str, str]) -> Table:
    """A table that fits 80 columns: names of the columns with their justification."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    for name, justify in columns.items():
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table


def say_timing(timing: pd.DataFrame) -> None:
    """Prints the main columns of a timing table."""
    several = timing["engine"].nunique() > 1
    left, right = "left", "right"
    columns = {"padding": left, "model": left, "ms": right, "examples/s": right, "speed-up": right, "95%": right}
    table = plain_table("time of a batch", {**columns, "FLOPs": right, "effic.": right, "vs padded": right})
    for row in timing.to_dict("records"):
        shortened, padded = row["shortened"], row["speedup_vs_padded"]
        model = "shortened" if shortened else "plain"
        table.add_row(
            row["padding"],
            f"{model} {row['engine']}" if several else model,
            f"{1000 * row['median_s']:.1f}",
            f"{row['examples_per_s']:.1f}",
            f"{row['speedup']:.2f}" if shortened else "",
            f"{row['speedup_low']:.2f}-{row['speedup_high']:.2f}" if shortened else "",
            f"{row['flops_ratio']:.2f}" if shortened else "",
            f"{row['efficiency']:.2f}" if shortened else "",
            "" if pd.isna(padded) else f"{padded:.2f}",
        )
    console.print(table)
    first = timing.iloc[0]
    console.print(
        f"batch size {first['batch_size']}, {first['precision']}, {first['threads']} threads, "
        f"{first['rounds']} rounds.\n"
        "speed-up, FLOPs (ratio) and efficiency are against the plain model of the same padding: elimination alone; "
        "vs padded is against the plain model padded to ℓ: removed padding counts too."
    )
