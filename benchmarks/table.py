"""Prints a timing.csv or sweep.csv as a Markdown table: python benchmarks/table.py FILE [FILE ...]"""

import sys

import pandas as pd

TIMING = {
    "engine": "engine",
    "precision": "precision",
    "threads": "threads",
    "batch_size": "batch",
    "padding": "padding",
    "model": "model",
    "median_s": "median ms",
    "speedup": "speed-up",
    "interval": "95%",
    "flops_ratio": "FLOPs ratio",
    "efficiency": "of FLOPs",
    "roofline_ratio": "roofline ratio",
    "roofline_expected": "expected",
    "roofline_reached": "of roofline",
    "elimination": "elimination alone",
    "speedup_vs_best": "vs best plain",
}
SWEEP = {
    "setting": "setting",
    "seed": "seed",
    "retention": "retention",
    "kept_share": "kept",
    "value": "metric",
    "baseline": "baseline",
    "drop": "drop",
    "interval": "95%",
    "flops_ratio": "FLOPs ratio",
    "speedup_max": "padded to ℓ",
    "speedup_longest": "longest",
    "speedup_sorted": "sorted",
    "elimination_sorted": "elimination alone, sorted",
}
SEEDS = {
    "setting": "setting",
    "seeds": "seeds",
    "kept_share": "kept",
    "value": "metric",
    "baseline": "baseline",
    "drop": "drop",
    "interval": "95% over seeds",
    "flops_ratio": "FLOPs ratio",
    "speedup_sorted": "sorted",
    "elimination_sorted": "elimination alone, sorted",
}


def rows(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The columns to show, as text."""
    if "contender" in table:
        table = table.reindex(columns=list(dict.fromkeys([*table.columns, *TIMING])))
        if "roofline_bound" in table:  # its former name
            table["roofline_expected"] = table["roofline_expected"].fillna(table["roofline_bound"])
        table["interval"] = _interval(table, "speedup", "{:.2f}-{:.2f}")
        table["median_s"] = (1000 * table["median_s"]).map("{:.1f}".format)
        compared = list(TIMING)[list(TIMING).index("speedup") :]
        table[compared] = table[compared].astype(object).mask(table["model"] == "plain")
        shown = {name: head for name, head in TIMING.items() if not table[name].isna().all()}
        return table, shown
    table["interval"] = _interval(table, "drop", "{:+.3f}..{:+.3f}")
    if "value_mean" in table:
        for name in ("value", "baseline"):
            pairs = zip(table[f"{name}_mean"], table[f"{name}_std"], strict=True)
            table[name] = [f"{mean:.4f} ± {std:.4f}" for mean, std in pairs]
        table["drop"] = table["drop_mean"].map("{:+.4f}".format)
        table["kept_share"] = table["kept_share"].map("{:.1%}".format)
        return table, SEEDS
    table["kept_share"] = table["kept_share"].map("{:.1%}".format)
    for name in ("value", "baseline", "drop"):
        table[name] = table[name].map("{:.4f}".format)
    return table, SWEEP


def _interval(table: pd.DataFrame, name: str, form: str) -> list[str]:
    return [form.format(a, b) for a, b in zip(table[f"{name}_low"], table[f"{name}_high"], strict=True)]


def _cell(value: object) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    table, columns = rows(pd.concat([pd.read_csv(path) for path in sys.argv[1:]], ignore_index=True))
    print("| " + " | ".join(columns.values()) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for row in table.to_dict("records"):
        print("| " + " | ".join(_cell(row[name]) for name in columns) + " |")


if __name__ == "__main__":
    main()
