"""The pictures of the studies."""

from pathlib import Path
from typing import Any

import pandas as pd


def draw(name: str, table: pd.DataFrame, title: str, metric: str, path: Path) -> None:
    """Draws a study's table, see `recipes.study`.

    Args:
        title: what was studied. metric: of the task.
    """
    from .agg import new_figure

    figure = new_figure(7.2, 4.4)
    axis = figure.subplots()
    {"similarity": _similarity, "information": _information, "selection": _selection}[name](axis, table, metric)
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


def _spans(table: pd.DataFrame, column: str) -> list[Any]:
    return [table[column] - table["low"], table["high"] - table[column]]


def _similarity(axis: Any, table: pd.DataFrame, metric: str) -> None:
    axis.errorbar(table["layer"], table["cosine"], yerr=_spans(table, "cosine"), marker="o", ms=4, lw=1.2)
    axis.set(xlabel="layer (0: embeddings)", ylabel="mean cosine of an input's word-vectors", ylim=(0, 1))
    axis.set_xticks(table["layer"])


def _information(axis: Any, table: pd.DataFrame, metric: str) -> None:
    from .agg import colormaps

    layers = table["layer"].unique()
    for i, layer in enumerate(layers):
        own = table[table["layer"] == layer]
        colour = colormaps["viridis"](i / max(1, len(layers) - 1) * 0.9)
        axis.plot(own["rank"], own["information"], marker="o", ms=3, lw=1.2, color=colour, label=f"layer {layer}")
    axis.axhline(table["entropy"].iloc[0], ls=":", color="black", lw=1, label="nothing removed")
    axis.set(xlabel="rank of the word-vector that is removed, by significance", ylabel="mutual information (nats)")
    axis.set_xticks(sorted(table["rank"].unique()))
    axis.figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)


def _selection(axis: Any, table: pd.DataFrame, metric: str) -> None:
    strategies, kinds = list(table["strategy"].unique()), list(table["inputs"].unique())
    for i, kind in enumerate(kinds):
        own = table[table["inputs"] == kind]
        at = [strategies.index(name) + (i - (len(kinds) - 1) / 2) * 0.25 for name in own["strategy"]]
        axis.errorbar(at, own["metric"], yerr=_spans(own, "metric"), fmt="o", capsize=3, label=f"inputs: {kind}")
    axis.set_xticks(range(len(strategies)), strategies)
    axis.set_ylabel(metric)
    axis.legend(fontsize=8)
