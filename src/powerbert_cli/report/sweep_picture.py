"""The sweep's picture of metric against measured time."""

from pathlib import Path
from typing import Any

import pandas as pd

from .chart import clipped
from .front import curves_of, pareto_front, points_of

PADDING_TITLES = {
    "max": "padded to ℓ",
    "longest": "padded to the longest",
    "sorted": "length-sorted batches",
    "buckets": "compiled for each of a few lengths",
    "packed": "packed rows",
}

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:olive")
_COLUMNS = 2
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def _timed(good: list[dict[str, Any]], padding: str) -> list[dict[str, Any]]:
    """The results that have been timed beside the plain model at a padding: there may be no time for all."""
    return [one for one in good if one.get(f"plain_{padding}_ms") and one.get(f"speedup_{padding}") is not None]


def _nothing(path: Path) -> None:
    from .agg import new_figure

    figure = new_figure(4.6, 1.2)
    figure.text(0.5, 0.5, "nothing was timed beside the plain model", ha="center", va="center")
    figure.savefig(path, dpi=130)


def _panels(count: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure and its first axes: two beside each other, so that texts are read at a page's width."""
    from .agg import new_figure

    rows, columns = -(-count // _COLUMNS), min(count, _COLUMNS)
    figure = new_figure(size[0] * columns, size[1] * rows + 0.5)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, list(axes[:count])


def draw(good: list[dict[str, Any]], path: Path) -> None:
    """Metric against measured time per example, one panel for each padding."""
    several = len(curves_of(good)) > 1
    paddings = [name for name in PADDING_TITLES if _timed(good, name)]
    if several:  # fewer and larger panels: of all paddings those that a careful user has
        paddings = [name for name in paddings if name in ("sorted", "packed")] or paddings
    if not paddings:
        return _nothing(path)
    figure, axes = _panels(len(paddings), (6.2, 5.2) if several else (4.6, 3.6))
    labels = [_draw_panel(axis, _timed(good, padding), padding) for axis, padding in zip(axes, paddings, strict=True)]
    any_one = good[0]
    for axis in axes[::_COLUMNS]:
        axis.set_ylabel(f"{any_one['task']} dev {any_one['metric']}")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(clipped(low, high, any_one["metric"]))  # one axis of all panels
    figure.legend(
        *axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=6 if several else 2, fontsize=8
    )
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

    runs = table.reindex(columns=["seed", "fold", "baseline"]).drop_duplicates(["seed", "fold"])
    baseline, limit = runs["baseline"].mean(), good[0]["max_drop"]
    found, curves = points_of(good, speed), curves_of(good)
    beyond = {one["setting"] for one in good if padding in (one.get("not_counted") or ())}
    axis.axhspan(baseline - limit, baseline, color="0.9", label=f"within {limit:g} of the baseline")
    if len(curves) > 1:
        axis.axhline(baseline, ls=":", lw=1, color="black")
    axis.plot(plain, baseline, "x", ms=8, mew=2, color="black", label="transformers' plain model")
    ratio = _whole_in_this_encoder(table, padding)
    if ratio is not None:
        axis.plot(plain * ratio, baseline, "s", mfc="none", color="black", label="this encoder, nothing removed")

    def time(point: dict[str, Any]) -> float:
        # jobs ran at different moments; only the ratio to the plain model beside it compares
        return plain / float(point["speed"])

    front = sorted(pareto_front(found, lambda point: float(point["speed"])), key=time)
    along = [time(point) for point in front], [point["value"] for point in front]
    if len(curves) > 1:
        axis.plot(*along, "-", color="0.85", lw=6, zorder=0, label="front")
        for name, colour, marker in zip(curves, _COLOURS, _MARKERS, strict=False):
            own = sorted((point for point in found if point["curve"] == name), key=time)
            times = [time(point) for point in own]
            axis.plot(times, [point["value"] for point in own], color=colour, marker=marker, lw=1, ms=5, label=name)
    else:
        axis.plot(*along, "-", color="tab:blue", lw=1, label="Pareto front")
    labels = []
    for point in sorted(found, key=lambda point: (point["value"], time(point))):
        at, text = (time(point), point["value"]), point["setting"]
        mark = "*" if text in beyond else ""  # its answers do not count
        ink = "black"
        if len(curves) > 1:
            ink = _COLOURS[curves.index(point["curve"]) % len(_COLOURS)]
            text = text.removeprefix(f"{point['curve'].replace(' ', '-')}-")
        else:
            look: dict[str, Any] = dict(color="tab:blue", ms=7) if point in front else dict(color="tab:gray", ms=5)
            spans = [[point["value"] - point["low"]], [point["high"] - point["value"]]]
            axis.errorbar(*at, yerr=spans, fmt="o", lw=1, clip_on=False, zorder=3, **look)  # whole also at 1
        line = dict(arrowstyle="-", lw=0.5, color="0.6")  # to its point, if the label has to stand off
        label = axis.annotate(
            text + mark, at, (6, 6), textcoords="offset points", fontsize=8, color=ink, arrowprops=line
        )
        label.set_in_layout(False)
        labels.append(label)
    axis.set_xlim(0, 1.2 * max([plain, *map(time, found)]))  # room for the labels
    axis.margins(y=0.15)
    axis.set_title(PADDING_TITLES[padding], fontsize=10)
    axis.set_xlabel("ms per example")
    axis.grid(alpha=0.3)
    return labels


def _whole_in_this_encoder(table: pd.DataFrame, padding: str) -> float | None:
    """Its time over that of transformers' plain model; None if it was not timed.

    It is full, but for a compressed model, whose full is compressed too: of that it is packed.
    """
    seconds = pd.Series(float("nan"), index=table.index)
    compressed = table["compressed"].astype(bool) if "compressed" in table else seconds.notna()
    for name, rows in ((f"full_{padding}_ms", ~compressed), (f"packed_{padding}_ms", compressed)):
        if name in table:
            seconds = seconds.where(~rows, table[name])
    ratios = (seconds / table[f"plain_{padding}_ms"]).dropna()
    return None if ratios.empty else float(ratios.median())


def _spread(labels: list[Any]) -> None:
    """Moves each label up or down to the nearest place within its panel where it lies on no earlier one."""
    from .agg import Text

    taken: list[Any] = []
    for label in labels:
        panel = label.axes.bbox
        for height in (6, -14, 17, -25, 28, -36, 39, -47):
            label.set_position((6, height))
            box = Text.get_window_extent(label)  # without the line
            within = panel.y0 <= box.y0 and box.y1 <= panel.y1
            if within and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
