"""The sweep's tables: what is kept and lost, how fast it is, over seeds, and which is the best."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..store.artifacts import whole_file, write_csv, write_json
from ..tasks.metrics import spread, within
from .console import console
from .front import curves_of, dominance, padding_of, pareto_front, speed_of
from .sweep_picture import PADDING_TITLES, draw
from .tables import joined, plain_table

COLUMNS = [
    *("setting", "lambda", "target", "seed", "status", "retention", "kept_share", "metric", "value", "baseline"),
    *("drop", "drop_low", "drop_high", "flops_ratio", "speedup_max", "speedup_longest", "speedup_sorted"),
    *("elimination_max", "elimination_longest", "elimination_sorted", "speedup_packed", "elimination_packed"),
    *("run_dir", "curve", "parameters", "file_mb", "fold"),
]
SPEED_HEADINGS = {"max": "padded", "longest": "longest", "sorted": "sorted", "packed": "packed"}
SPEEDS = [f"{name}_{padding}" for name in ("speedup", "elimination") for padding in SPEED_HEADINGS]


def write_and_say(folder: Path, results: list[dict[str, Any]]) -> None:
    """Writes sweep.csv, sweep.json, sweep.png and, with several seeds, seeds.csv; prints them, names the best."""
    results, repeated = once_each(with_settings(results))
    if repeated:
        console.print(
            f"{repeated} of the jobs repeat another one, which counts once: λ decides nothing where a target or a "
            "retention configuration is given; grid=none leaves it out"
        )
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
    by = ["lambda", "target", "setting", "seed"] if len(curves_of(results)) < 2 else ["curve", "flops_ratio", "seed"]
    return table.sort_values(by, ignore_index=True)


def with_settings(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results, each with its `setting`: what sets its job apart from the others but for seed and fold.

    The overrides that differ between the jobs; where none do, λ or the target.
    """
    given = [result.get("overrides") or {} for result in results]
    apart = ("seed", "task.fold", "lambda")
    names = [name for name in dict.fromkeys(name for one in given for name in one) if name not in apart]
    names = [name for name in names if len({one.get(name) for one in given}) > 1]
    several = len({result["lambda"] for result in results}) > 1
    named = []
    for result, one in zip(results, given, strict=True):
        parts = [_said(name, one[name]) for name in names if name in one]
        if result["lambda"] is not None and (several or not names):
            parts.insert(0, f"λ={result['lambda']:g}")
        named.append({**result, "setting": " ".join(parts) or str(result.get("target") or result.get("curve"))})
    return named


def once_each(results: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The results without those of the same setting, λ, seed and fold as an earlier one, and how many these are.

    A result that is counted twice would make the interval over them too narrow.
    """
    kept: dict[Any, dict[str, Any]] = {}
    for result in results:
        key = tuple(result.get(name) for name in ("setting", "lambda", "target", "seed", "fold"))
        if key not in kept or (kept[key]["status"] != "ok" and result["status"] == "ok"):
            kept[key] = result
    return list(kept.values()), len(results) - len(kept)


def _said(name: str, value: str) -> str:
    """An override; of the group of points its option alone, which says what it is."""
    return value if name == "point" else f"{name.rpartition('.')[2]}={_short(value)}"


def _seed(row: dict[Any, Any]) -> str:
    """0, or 0/2 for fold 2."""
    return str(row["seed"]) if pd.isna(row["fold"]) else f"{row['seed']}/{row['fold']:.0f}"


def _short(value: str) -> str:
    """A number without the digits that a sampler draws."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def over_seeds(good: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each setting that has several seeds or folds: means with standard deviation and 95% t-interval.

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
            row |= {f"{name}_{what}": value for what, value in asdict(found).items()}
        for name in ("flops_ratio", *SPEEDS):
            row[name] = group[name].mean() if name in group and group[name].notna().all() else None
        row["confidence"] = group["confidence"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def _say_seeds(seeds: pd.DataFrame, limit: float) -> None:
    heads = ["setting", "runs", "metric", "±", "baseline", "drop", "95%", "vs plain", "elim.", f"within {limit:g}"]
    shown = plain_table("over seeds and folds; speed-ups in length-sorted batches", dict.fromkeys(heads, "right"))
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


def best_within(good: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The fastest result whose metric is within max_drop of the baseline, or None."""
    near = [result for result in good if within(result["drop"], result["max_drop"])]
    return max(near, key=speed_of, default=None)


def _say(table: pd.DataFrame, results: list[dict[str, Any]], best: dict[str, Any] | None) -> None:
    heads = ["setting", "seed", "kept", "metric", "drop", "95%", "FLOPs"]
    shown = plain_table("what is kept and lost", dict.fromkeys(heads, "right"))
    finished: list[dict[Any, Any]] = [row for row in table.to_dict("records") if row["status"] == "ok"]
    for row in finished:
        shown.add_row(
            row["setting"],
            _seed(row),
            f"{row['kept_share']:.1%}",
            f"{row['value']:.4f}",
            f"{row['drop']:+.4f}",
            f"{row['drop_low']:+.3f}..{row['drop_high']:+.3f}",
            f"{row['flops_ratio']:.2f}",
        )
    console.print(shown)
    if several := len(curves_of(results)) > 1:
        _say_sizes(finished)
    else:
        _say_speeds("speed-up against transformers' model, by padding", "speedup", finished)
        _say_speeds("of it elimination alone, against this encoder with everything kept", "elimination", finished)
    for row in table.to_dict("records"):
        if several and row["status"] == "ok" and row["kept_share"] == 1:
            continue
        found = _joined(row["retention"]) if row["status"] == "ok" else f"failed: {row['reason']}"
        console.print(f"{row['setting']} seed {_seed(row)}: {found}")
    good = [result for result in results if result["status"] == "ok"]
    for sentence in dominance(good):
        console.print(sentence)
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


def _say_sizes(finished: list[dict[Any, Any]]) -> None:
    """How large and how fast each is, where several methods are compared."""
    heads = ["setting", "seed", "million parameters", "file MB", "sorted", "packed"]
    shown = plain_table("size, and speed-up against transformers' model", dict.fromkeys(heads, "right"))
    for row in finished:
        speeds = (_speed(row.get(f"speedup_{padding}")) for padding in ("sorted", "packed"))
        size = f"{row['parameters'] / 1e6:.2f}", f"{row['file_mb']:.1f}"
        shown.add_row(row["setting"], _seed(row), *size, *speeds)
    console.print(shown)


def _say_speeds(title: str, name: str, finished: list[dict[Any, Any]]) -> None:
    """A column for each padding, beside setting and seed."""
    shown = plain_table(title, dict.fromkeys(["setting", "seed", *SPEED_HEADINGS.values()], "right"))
    for row in finished:
        speeds = (_speed(row.get(f"{name}_{padding}")) for padding in SPEED_HEADINGS)
        shown.add_row(row["setting"], _seed(row), *speeds)
    console.print(shown)
