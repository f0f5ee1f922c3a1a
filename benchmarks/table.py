"""Prints a timing.csv or sweep.csv as a Markdown table: python benchmarks/table.py FILE"""

import sys

import pandas as pd

TIMING = {
    "padding": "padding",
    "shortened": "model",
    "engine": "engine",
    "precision": "precision",
    "median_s": "median ms",
    "p95_s": "p95 ms",
    "speedup": "speed-up",
    "interval": "95%",
    "flops_ratio": "FLOPs ratio",
    "efficiency": "efficiency",
    "speedup_vs_padded": "vs padded",
}
SWEEP = {
    "lambda": "λ",
    "lengths": "lengths",
    "kept_share": "kept",
    "value": "metric",
    "baseline": "baseline",
    "drop": "drop",
    "interval": "95%",
    "flops_ratio": "FLOPs ratio",
    "speedup_max": "padded to ℓ",
    "speedup_longest": "longest",
    "speedup_sorted": "sorted",
}


def rows(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The columns to show, as text."""
    if "contender" in table:
        table["shortened"] = table["shortened"].map({True: "shortened", False: "plain"})
        table["interval"] = [
            f"{a:.2f}-{b:.2f}" for a, b in zip(table["speedup_low"], table["speedup_high"], strict=True)
        ]
        for name in ("median_s", "p95_s"):
            table[name] = (1000 * table[name]).map("{:.0f}".format)
        return table.round(2), TIMING
    table["interval"] = [f"{a:+.3f}..{b:+.3f}" for a, b in zip(table["drop_low"], table["drop_high"], strict=True)]
    table["kept_share"] = table["kept_share"].map("{:.1%}".format)
    for name in ("value", "baseline", "drop"):
        table[name] = table[name].map("{:.4f}".format)
    return table.round(2).assign(**{"lambda": table["lambda"].map("{:g}".format)}), SWEEP


def main() -> None:
    table, columns = rows(pd.read_csv(sys.argv[1]))
    print("| " + " | ".join(columns.values()) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for row in table.to_dict("records"):
        print("| " + " | ".join("–" if pd.isna(row[name]) else str(row[name]) for name in columns) + " |")


if __name__ == "__main__":
    main()
