"""The sweep's table and its picture of metric against measured time."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..store.artifacts import whole_file, write_csv, write_json
from ..tasks.metrics import spread, within
from .console import console
from .tables import joined, plain_table

COLUMNS = [
    "setting",
    "lambda",
    "target",
    "seed",
    "status",
    "retention",
    "kept_share",
    "metric",
    "value",
    "baseline",
    "drop",
    "drop_low",
    "drop_high",
    "flops_ratio",
    "speedup_max",
    "speedup_longest",
    "speedup_sorted",
    "elimination_max",
    "elimination_longest",
    "elimination_sorted",
    "speedup_packed",
    "elimination_packed",
    "run_dir",
]
PADDING_TITLES = {
    "max": "padded to ℓ",
    "longest": "padded to the longest",
    "sorted": "length-sorted batches",
    "packed": "packed rows",
}
SPEED_HEADINGS = {"max": "padded", "longest": "longest", "sorted": "sorted", "packed": "packed"}
SPEEDS = [f"{name}_{padding}" for name in ("speedup", "elimination") for padding in SPEED_HEADINGS]


def write_and_say(folder: Path, results: list[dict[str, Any]]) -> None:
    """Writes sweep.csv, sweep.json, sweep.png and, with several seeds, seeds.csv; prints them, names the best."""
    results = with_settings(results)
    table = sweep_table(results)
    write_csv(folder / "sweep.csv", table.assign(retention=table["retention"].map(_joined)))
    good = [result for result in results if result["status"] == "ok"]
    best = best_within(good)
    write_json(folder / "sweep.json", {"results": results, "best": best})
    with whole_file(folder / "sweep.png") as temporary:
        draw(good, temporary)
    _say(table, results, best)
    seeds = over_seeds(good)
    if not seeds.empty:
        write_csv(folder / "seeds.csv", seeds)
        _say_seeds(seeds, good[0]["max_drop"])
    console.print(f"table: {folder / 'sweep.csv'}\npicture: {folder / 'sweep.png'}")


def sweep_table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each job, in the order of λ or target."""
    table = pd.DataFrame(results)
    extra = [name for name in table.columns if name.endswith("_ms") or name in ("strategy", "confidence", "reason")]
    table["on_front"] = pd.Series([result in pareto_front(results) for result in results])
    table = table.reindex(columns=[*COLUMNS, *extra, "on_front"])
    return table.sort_values(["lambda", "target", "setting", "seed"], ignore_index=True)


def with_settings(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results, each with its `setting`: what sets its job apart from the others but for the seed.

    The overrides that differ between the jobs; where none do, λ or the target.
    """
    given = [result.get("overrides") or {} for result in results]
    names = [name for name in dict.fromkeys(name for one in given for name in one) if name not in ("seed", "lambda")]
    names = [name for name in names if len({one.get(name) for one in given}) > 1]
    several = len({result["lambda"] for result in results}) > 1
    named = []
    for result, one in zip(results, given, strict=True):
        parts = [f"{name.rpartition('.')[2]}={_short(one[name])}" for name in names if name in one]
        if result["lambda"] is not None and (several or not names):
            parts.insert(0, f"λ={result['lambda']:g}")
        named.append({**result, "setting": " ".join(parts) or str(result.get("target"))})
    return named


def _short(value: str) -> str:
    """A number without the digits that a sampler draws."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def over_seeds(good: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each setting that has several seeds: means with standard deviation and 95% t-interval.

    `confidence` is the mean over the seeds of the paired bootstrap's share of resamples in which
    the drop is within max_drop.
    """
    rows = []
    for setting, group in pd.DataFrame(good).groupby("setting", sort=False):
        if len(group) < 2:
            continue
        row: dict[str, Any] = {"setting": setting, "seeds": len(group), "kept_share": group["kept_share"].mean()}
        for name in ("value", "baseline", "drop"):
            found = spread(group[name].to_numpy())
            row |= {f"{name}_{part}": value for part, value in asdict(found).items()}
        for name in ("flops_ratio", *SPEEDS):
            row[name] = group[name].mean() if name in group and group[name].notna().all() else None
        row["confidence"] = group["confidence"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def _say_seeds(seeds: pd.DataFrame, limit: float) -> None:
    heads = ["setting", "seeds", "metric", "±", "baseline", "drop", "95%", "vs plain", "elim.", f"within {limit:g}"]
    shown = plain_table("over seeds; speed-ups in length-sorted batches", dict.fromkeys(heads, "right"))
    for row in seeds.to_dict("records"):
        shown.add_row(
            row["setting"],
            str(row["seeds"]),
            f"{row['value_mean']:.4f}",
            f"{row['value_std']:.4f}",
            f"{row['baseline_mean']:.4f}",
            f"{row['drop_mean']:+.4f}",
            f"{row['drop_low']:+.3f}..{row['drop_high']:+.3f}",
            *(_speed(row[name]) for name in ("speedup_sorted", "elimination_sorted")),
            f"{row['confidence']:.0%}",
        )
    console.print(shown)


def _speed(value: Any) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.2f}"


def _joined(configuration: Any) -> Any:
    return joined(configuration) if isinstance(configuration, list) else configuration


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


def best_within(good: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The fastest result whose metric is within max_drop of the baseline, or None."""
    near = [result for result in good if within(result["drop"], result["max_drop"])]
    return max(near, key=speed_of, default=None)


def _say(table: pd.DataFrame, results: list[dict[str, Any]], best: dict[str, Any] | None) -> None:
    right = "right"
    columns = {
        "setting": right,
        "seed": right,
        "kept": right,
        "metric": right,
        "drop": right,
        "95%": right,
        "FLOPs": right,
    }
    shown = plain_table("what is kept and lost", columns)
    finished: list[dict[Any, Any]] = [row for row in table.to_dict("records") if row["status"] == "ok"]
    for row in finished:
        shown.add_row(
            row["setting"],
            str(row["seed"]),
            f"{row['kept_share']:.1%}",
            f"{row['value']:.4f}",
            f"{row['drop']:+.4f}",
            f"{row['drop_low']:+.3f}..{row['drop_high']:+.3f}",
            f"{row['flops_ratio']:.2f}",
        )
    console.print(shown)
    _say_speeds("speed-up against transformers' model, by padding", "speedup", finished)
    _say_speeds("of it elimination alone, against this encoder with everything kept", "elimination", finished)
    for row in table.to_dict("records"):
        found = _joined(row["retention"]) if row["status"] == "ok" else f"failed: {row['reason']}"
        console.print(f"{row['setting']} seed {row['seed']}: {found}")
    good = [result for result in results if result["status"] == "ok"]
    baselines = {f"{result['baseline']:.4f} (seed {result['seed']})": None for result in good}
    console.print(f"baseline (plain model, trained as long): {good[0]['metric']} {', '.join(baselines)}")
    limit = good[0]["max_drop"]
    if best is None:
        console.print(f"none stays within {limit:g} of the baseline; try a smaller λ or a milder target")
        return
    console.print(
        f"fastest within {limit:g} of the baseline: {best['setting']} (drop {best['drop']:+.4f}; "
        f"within it in {best['confidence']:.0%} of the paired bootstrap's resamples; "
        f"{speed_of(best):.2f} times as fast as transformers' model{_alone(best)}, {_where(best)})"
    )
    _say_test(best)


def _say_test(best: dict[str, Any]) -> None:
    """Of the chosen job alone: what is measured on rows that nothing was chosen on."""
    if best.get("test_value") is None:
        console.print("its metric and drop are of dev, the rows that it was chosen on")
        return
    console.print(
        f"on the test split, which nothing was chosen on: {best['metric']} {best['test_value']:.4f}, baseline "
        f"{best['test_baseline']:.4f} (drop {best['test_baseline'] - best['test_value']:+.4f})"
    )


def _alone(best: dict[str, Any]) -> str:
    alone = best.get(f"elimination_{padding_of(best)}")
    return "" if alone is None or pd.isna(alone) else f", {alone:.2f} by elimination alone"


def _where(best: dict[str, Any]) -> str:
    padding = padding_of(best)
    return "nothing was timed" if padding is None else {"sorted": "in "}.get(padding, "") + PADDING_TITLES[padding]


def _say_speeds(title: str, name: str, finished: list[dict[Any, Any]]) -> None:
    """A column for each padding, beside setting and seed."""
    shown = plain_table(title, dict.fromkeys(["setting", "seed", *SPEED_HEADINGS.values()], "right"))
    for row in finished:
        speeds = (_speed(row.get(f"{name}_{padding}")) for padding in SPEED_HEADINGS)
        shown.add_row(row["setting"], str(row["seed"]), *speeds)
    console.print(shown)


def draw(good: list[dict[str, Any]], path: Path) -> None:
    """Metric against measured time per example, one panel for each padding."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    paddings = [name for name in PADDING_TITLES if f"plain_{name}_ms" in good[0]]
    figure = Figure(figsize=(4.6 * len(paddings), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(paddings), sharey=True, squeeze=False)[0]
    labels = [_draw_panel(axis, good, padding) for axis, padding in zip(axes, paddings, strict=True)]
    first = good[0]
    axes[0].set_ylabel(f"{first['task']} dev {first['metric']}")
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
