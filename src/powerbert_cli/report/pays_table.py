"""What dropping word-vectors brings by itself at several sizes of a batch, and from which size on it pays."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import pandas as pd

from ..bench.table import UNPACKED
from .console import console
from .tables import plain_table, with_interval


def say_pays(pays: Sequence[dict[str, Any]], title: str) -> None:
    """Prints a table, and a line for each way to run a model.

    Args:
        pays: see `recipes.pays.pays`.
    """
    if not pays:
        return
    sizes = sorted({one["batch_size"] for one in pays})
    shown = plain_table(title, {"engine": "left", **{f"batch of {size}": "right" for size in sizes}})
    ways = dict.fromkeys((one["engine"], one["precision"]) for one in pays)
    for way in ways:
        own = {one["batch_size"]: one for one in pays if (one["engine"], one["precision"]) == way}
        cells = (with_interval(own[n]["speedup"], (own[n]["low"], own[n]["high"])) if n in own else "" for n in sizes)
        shown.add_row(" ".join(way), *cells)
    console.print(shown)
    for engine, precision in ways:
        console.print(f"engine={engine} precision={precision}: {pays_from(pays, engine, precision)}")


def pays_from(pays: Sequence[dict[str, Any]], engine: str, precision: str) -> str:
    """From which size on all intervals lie above 1."""
    own = [one for one in pays if (one["engine"], one["precision"]) == (engine, precision)]
    own.sort(key=lambda one: -one["batch_size"])
    sure = list(takewhile(lambda one: one["low"] > 1, own))
    return f"it pays from batches of {sure[-1]['batch_size']} on" if sure else "that it pays is not shown"


def say_pays_of(timing: pd.DataFrame) -> None:
    """The same of a timing table with several batch sizes, in the first padding that all sizes have."""
    timed = timing[timing["elimination"].notna()]
    for (threads, seq_len), rows in timed.groupby(["threads", "seq_len"], sort=False):
        sizes = rows.groupby("padding")["batch_size"].nunique()
        padding = next(
            (one for one in (*UNPACKED, "packed") if sizes.get(one, 0) == rows["batch_size"].nunique()), None
        )
        if padding is None or rows["batch_size"].nunique() < 2:
            continue
        names = {"elimination": "speedup", "elimination_low": "low", "elimination_high": "high"}
        columns = ["engine", "precision", "batch_size", *names]
        found = rows.loc[rows["padding"] == padding, columns].rename(columns=names)
        title = f"what dropping word-vectors brings by itself (95%), {padding}, ℓ={seq_len}, {threads} threads"
        say_pays(found.to_dict("records"), title)  # type: ignore[arg-type]
