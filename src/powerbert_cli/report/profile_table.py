"""The table and the picture of a profile."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..store.artifacts import whole_file, write_csv
from .console import console
from .tables import plain_table

COLORS = {
    "project": "tab:blue",
    "significance": "tab:red",
    "select": "tab:pink",
    "attention": "tab:orange",
    "output": "tab:cyan",
    "feed-forward": "tab:green",
}


def write_and_say_profile(profile: pd.DataFrame, batches: int, folder: Path) -> None:
    """Writes profile.csv and profile.png, and prints the table."""
    write_csv(folder / "profile.csv", profile)
    with whole_file(folder / "profile.png") as temporary:
        draw_profile(profile, batches, temporary)
    say_profile(profile, batches)


def say_profile(profile: pd.DataFrame, batches: int) -> None:
    """Prints the time of each part over all layers, of a batch, beside its roofline time."""
    models = list(profile["model"].unique())
    heads = [head for model in models for head in (model, "roofline", "of roof")]
    table = plain_table("time of each part over all layers, ms", {"part": "left"})
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    sums = profile.groupby(["part", "model"], sort=False)[["seconds", "roofline_s"]].sum(min_count=1)
    for part in [*profile["part"].unique(), "total"]:
        cells: list[str] = []
        for model in models:
            own = profile[profile["model"] == model]
            if part == "total":
                seconds, roofline = own["seconds"].sum(), own["roofline_s"].sum()
            elif (part, model) in sums.index:
                seconds, roofline = sums.loc[(part, model)]
            else:
                cells += ["", "", ""]
                continue
            known = pd.notna(roofline)
            cells += [f"{1000 * seconds / batches:.2f}"]
            cells += [f"{1000 * roofline / batches:.2f}", f"{roofline / seconds:.2f}"] if known else ["", ""]
        table.add_row(part, *cells)
    console.print(table)
    console.print(
        "of roof: roofline time over measured time, 1 is all that the device can. The scores of significance are in "
        "the cost of attention; the plain model's head counts with its last feed-forward part."
    )


def draw_profile(profile: pd.DataFrame, batches: int, path: Path) -> None:
    """For each layer the parts' times, plain beside shortened, with a mark at the sum of their roofline times."""
    from .agg import Line2D, Patch, new_figure

    figure = new_figure(11, 4.5)
    axis = figure.subplots()
    models = list(profile["model"].unique())
    layers = np.arange(1, profile["layer"].max() + 1)
    width = 0.8 / len(models)
    for i, model in enumerate(models):
        own = profile[profile["model"] == model]
        parts = 1000 / batches * own.pivot_table(index="layer", columns="part", values="seconds").reindex(layers)
        places, bottom = layers - 0.4 + width * (i + 0.5), np.zeros(len(layers))
        for name in (name for name in COLORS if name in parts):
            seconds = parts[name].fillna(0.0).to_numpy()
            axis.bar(places, seconds, 0.92 * width, bottom, color=COLORS[name], alpha=0.55 if i == 0 else 1.0)
            bottom += seconds
        roofline = 1000 / batches * own.groupby("layer")["roofline_s"].sum().reindex(layers)
        axis.plot(places, roofline, "k_", ms=14)
    axis.set(xlabel=f"layer ({', '.join(models)} from left to right)", ylabel="ms of a batch", xticks=layers)
    handles: list[Any] = [Patch(color=color, label=name) for name, color in COLORS.items()]
    handles.append(Line2D([], [], color="k", marker="_", ls="", ms=14, label="roofline"))
    axis.legend(handles=handles, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axis.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=130, format="png")
