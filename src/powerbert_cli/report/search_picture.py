"""The picture of a search: what its retention parameters became, and the way there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch


def draw_search(r: torch.Tensor, history: pd.DataFrame, configuration: Sequence[float], path: Path) -> None:
    """r over rank for each layer (or the thresholds by layer), and mass over steps.

    Args:
        r: retention parameters, (L, ℓ) or (L, M) over the relative rank, or negated thresholds, (L, 1).
        history: columns step and mass_1 … mass_L.
        configuration: what was found, lengths or fractions.
    """
    from .agg import colormaps, new_figure

    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    layers = len(r)
    colors = [colormaps["viridis"](j / max(1, layers - 1)) for j in range(layers)]
    labels = [f"layer {j + 1}" + (f": {configuration[j]:g}" if j < len(configuration) else "") for j in range(layers)]
    if r.shape[1] == 1:
        left.bar(range(1, layers + 1), -r[:, 0].numpy(), color=colors)
        left.set(xlabel="layer", ylabel="threshold θ on normalised significance", title="thresholds")
    else:
        relative = any(isinstance(value, float) for value in configuration)
        parts = r.shape[1]
        ranks = [(k + 0.5) / parts for k in range(parts)] if relative else range(1, parts + 1)
        for j in range(layers):
            left.plot(ranks, r[j].numpy(), color=colors[j], lw=1.2)
        left.set(
            xlabel=f"{'relative ' * relative}rank by significance",
            ylabel="retention parameter r",
            title="what each rank is worth",
        )
        left.set_ylim(-0.02, 1.02)
    steps = history[history["mass_1"].notna()]
    for j in range(layers):
        right.plot(steps["step"], steps[f"mass_{j + 1}"], color=colors[j], lw=1.2, label=labels[j])
    right.set(xlabel="step", ylabel="mass (word-vectors)", title="mass of each layer; what it keeps")
    right.set_ylim(bottom=0)
    _outside_legend(right, layers)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130, format="png")


def _outside_legend(axis: Any, layers: int) -> None:
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, ncols=1 if layers <= 14 else 2)
