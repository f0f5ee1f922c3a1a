"""Measured speed-ups beside the published ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..store.artifacts import write_csv
from .console import console
from .tables import plain_table


def write_and_say(folder: Path, rows: Sequence[dict[str, Any]], timings: Mapping[str, Path], borrowed: bool) -> None:
    """Writes published.csv and prints it.

    Args:
        rows: see `jobs.gather.PublishedReport`.
        timings: timing.csv of each option of the group `retention` that was timed.
        borrowed: the configurations are of another model than the table's.
    """
    table = pd.DataFrame([{**row, **_measured(timings.get(row["retention"] or ""))} for row in rows])
    write_csv(folder / "published.csv", table)
    heads = ["task", "published", "measured", "95%", "FLOPs", "effic.", "eliminat.", "configuration"]
    shown = plain_table("speed-up against transformers' model, padded to ℓ", dict.fromkeys(heads, "right"))
    for row in table.to_dict("records"):
        if pd.isna(row["measured"]):
            reason = "not published" if pd.isna(row["retention"]) else "not timed"
            shown.add_row(row["task"], f"{row['speedup']:.1f}", "–", "", "", "", "", reason)
            continue
        shown.add_row(
            row["task"],
            f"{row['speedup']:.1f}",
            f"{row['measured']:.2f}",
            f"{row['measured_low']:.2f}-{row['measured_high']:.2f}",
            f"{row['flops_ratio']:.2f}",
            f"{row['efficiency']:.2f}",
            "–" if pd.isna(row["elimination"]) else f"{row['elimination']:.2f}",
            row["retention"],
        )
    console.print(shown)
    console.print("published: K80, batch size 128 (RACE 64), padded to ℓ; metrics of the paper are in the table")
    console.print("eliminat.: elimination alone, against this encoder with everything kept")
    if borrowed:
        console.print("the configurations are those of BERT: none of this model is published")
    console.print(f"table: {folder / 'published.csv'}")


def _measured(timing: Path | None) -> dict[str, Any]:
    """Speed-up of the shortened model in a timing.csv, padded to ℓ; None of each where there was no time for it."""
    columns = {"measured": "speedup", "measured_low": "speedup_low", "measured_high": "speedup_high"}
    columns |= {name: name for name in ("flops_ratio", "efficiency", "elimination")}
    if timing is None:
        return dict.fromkeys(columns)
    table = pd.read_csv(timing)
    rows = table[table["shortened"] & (table["padding"] == "max")].to_dict("records")
    return {name: rows[0][column] if rows else None for name, column in columns.items()}
