"""The sweep's front, and its picture of metric against measured time."""

from pathlib import Path
from typing import Any

import pandas as pd

PADDING_TITLES = {
    "max": "padded to ℓ",
    "longest": "padded to the longest",
    "sorted": "length-sorted batches",
    "packed": "packed rows",
}


def padding_of(result: dict[str, Any]) -> str | None:
    """The padding whose speed-ups count: length-sorted, as a careful user has it, else the next best that was timed."""
    timed = (padding for padding in ("sorted", "longest", "max") if result.get(f"speedup_{padding}") is not None)
    return next(timed, None)


def speed_of(result: dict[str, Any]) -> float:
    """The speed-up against transformers' model at the padding that counts; what a sweep chooses by."""
    padding = padding_of(result)
    return 0.0 if padding is None else float(result[f"speedup_{padding}"])


def pareto_front(results: list[dict[str, Any]], speed: Any = speed_of) -> list[dict[str, Any]]:
    """The finished results that no other one beats in both metric and speed."""
    good = [result for result in results if result["status"] == "ok"]

    def beaten(one: dict[str, Any]) -> bool:
        return any(
            other["value"] >= one["value"]
            and speed(other) >= speed(one)
            and (other["value"] > one["value"] or speed(other) > speed(one))
            for other in good
        )

    return [result for result in good if not beaten(result)]


def draw(good: list[dict[str, Any]], path: Path) -> None:
    """Metric against measured time per example, one panel for each padding."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    paddings = [name for name in PADDING_TITLES if f"plain_{name}_ms" in good[0]]
    figure = Figure(figsize=(4.6 * len(paddings), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(paddings), sharey=True, squeeze=False)[0]
    labels = [_draw_panel(axis, good, padding) for axis, padding in zip(axes, paddings, strict=True)]
    any_one = good[0]
    axes[0].set_ylabel(f"{any_one['task']} dev {any_one['metric']}")
    axes[-1].legend(loc="lower right", fontsize=8)
    figure.canvas.draw()  # only a laid-out figure knows how wide its texts are
    for panel in labels:
        _spread(panel)
    figure.savefig(path, dpi=130)


def _draw_panel(axis: Any, good: list[dict[str, Any]], padding: str) -> list[Any]:
    """Draws one padding's times, of several seeds the means with the lowest and highest; returns the points' labels."""
    table = pd.DataFrame(good)
    plain = float(table[f"plain_{padding}_ms"].median())

    def speed(result: dict[str, Any]) -> float:
        return float(result[f"speedup_{padding}"])

    def time(result: dict[str, Any]) -> float:
        # Jobs ran at different moments; only the ratio to the plain model beside it compares.
        return plain / speed(result)

    baseline, limit = table.groupby("seed")["baseline"].first().mean(), good[0]["max_drop"]
    values = table.groupby("setting", sort=False)["value"]
    points = table.groupby("setting", sort=False)[["value", f"speedup_{padding}"]].mean().reset_index()
    points = points.assign(status="ok", low=values.min().to_numpy(), high=values.max().to_numpy())
    found: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in points.to_dict("records")
    ]
    axis.axhspan(baseline - limit, baseline, color="0.9", label=f"within {limit:g} of the baseline")
    axis.plot(plain, baseline, "s", color="black", label="transformers' plain model")
    if f"full_{padding}_ms" in table:
        full = plain * float((table[f"full_{padding}_ms"] / table[f"plain_{padding}_ms"]).median())
        axis.plot(full, baseline, "s", mfc="none", color="black", label="this encoder, everything kept")
    front = sorted(pareto_front(found, speed), key=time)
    axis.plot([time(r) for r in front], [r["value"] for r in front], "-", color="tab:blue", lw=1, label="Pareto front")
    labels = []
    for result in sorted(found, key=lambda result: (result["value"], time(result))):
        marker = dict(color="tab:blue", ms=7) if result in front else dict(color="tab:gray", ms=5)
        spans = [[result["value"] - result["low"]], [result["high"] - result["value"]]]
        axis.errorbar(time(result), result["value"], yerr=spans, fmt="o", lw=1, **marker)
        at = (time(result), result["value"])
        line = dict(arrowstyle="-", lw=0.5, color="0.6")  # to its point, if the label has to stand off
        label = axis.annotate(result["setting"], at, (6, 6), textcoords="offset points", fontsize=8, arrowprops=line)
        label.set_in_layout(False)
        labels.append(label)
    axis.set_xlim(0, 1.2 * max([plain, *map(time, found)]))  # room for the labels
    axis.margins(y=0.15)
    axis.set_title(PADDING_TITLES[padding], fontsize=10)
    axis.set_xlabel("ms per example")
    axis.grid(alpha=0.3)
    return labels


def _spread(labels: list[Any]) -> None:
    """Moves each label up or down to the nearest place where it lies on no earlier one."""
    from matplotlib.text import Text

    taken: list[Any] = []
    for label in labels:
        for height in (6, -14, 17, -25, 28, -36, 39, -47):
            label.set_position((6, height))
            box = Text.get_window_extent(label)  # without the line
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
