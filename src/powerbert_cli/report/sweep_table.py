"""The sweep's tables: what is kept and lost, how fast it is, over seeds, and which setting is the best."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..settings.bench import PADDINGS
from ..store.artifacts import whole_file, write_csv, write_json
from .console import console
from .front import curves_of, dominance, padding_of, pareto_front
from .settings_table import best_within, over_seeds, settings_of
from .sweep_picture import PADDING_TITLES, draw
from .tables import joined, plain_table, with_interval
from .verdict import verdict
from .words import PADDINGS as PADDING_WORDS
from .words import line

COLUMNS = [
    *("setting", "lambda", "target", "seed", "status", "retention", "kept_share", "metric", "value", "baseline"),
    *("drop", "drop_low", "drop_high", "flops_ratio", "speedup_max", "speedup_longest", "speedup_sorted"),
    *("elimination_max", "elimination_longest", "elimination_sorted", "speedup_packed", "elimination_packed"),
    *("run_dir", "curve", "parameters", "file_mb", "fold", "speed", "speed_low", "speed_high", "fastest"),
    *("fastest_plain", "point", "doubt"),
]
MORE = ("strategy", "confidence", "reason", "not_counted")


def write_and_say(folder: Path, results: list[dict[str, Any]]) -> str:
    """Writes sweep.csv, sweep.json, sweep.png and, with several seeds, seeds.csv; prints them, names the best.

    Returns:
        The verdict, one sentence: for the last line.
    """
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
    return verdict(best, good)


def sweep_table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each job, in the order of λ or target."""
    table = pd.DataFrame(results)
    ends = ("_ms", "_low", "_high")
    extra = [name for name in table.columns if name.endswith(ends) or name in MORE]
    extra = [name for name in extra if name not in COLUMNS]
    front = pareto_front(settings_of([result for result in results if result["status"] == "ok"]))
    best = {(point.get("curve"), point["setting"]) for point in front}
    table["on_front"] = pd.Series(
        [result["status"] == "ok" and (result.get("curve"), result["setting"]) in best for result in results]
    )
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


def _say_seeds(seeds: pd.DataFrame, limit: float) -> None:
    heads = ["setting", "runs", "metric", "±", "baseline", "drop", "95%", "speed", "95%", f"within {limit:g}"]
    shown = plain_table("over seeds and folds; speed: against the fastest plain model", {})
    for head in heads:
        shown.add_column(head, justify="right", no_wrap=head != "setting")
    for row in seeds.to_dict("records"):
        shown.add_row(
            row["setting"],
            str(row["seeds"]),
            f"{row['value_mean']:.4f}",
            f"{row['value_std']:.4f}",
            f"{row['baseline_mean']:.4f}",
            f"{row['drop_mean']:+.4f}",
            f"{row['drop_low']:+.3f}..{row['drop_high']:+.3f}",
            _speed(row["speed"]),
            _ends(row, "speed"),
            f"{row['confidence']:.0%}",
        )
    console.print(shown)


def _speed(value: Any) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.2f}"


def _joined(configuration: Any) -> Any:
    return joined(configuration) if isinstance(configuration, list) else configuration


def _ends(row: dict[Any, Any], name: str) -> str:
    """An interval, where there is one."""
    low, high = (row.get(f"{name}_{end}") for end in ("low", "high"))
    return "" if low is None or high is None or pd.isna(low) or pd.isna(high) else f"{low:.2f}-{high:.2f}"


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
            _speed(row["flops_ratio"]),
        )
    console.print(shown)
    if several := len(curves_of(results)) > 1:
        _say_sizes(finished)
    else:
        _say_speeds(finished)
    for row in table.to_dict("records"):
        if several and row["status"] == "ok" and row["kept_share"] == 1:
            continue
        found = _joined(row["retention"]) if row["status"] == "ok" else f"failed: {row['reason']}"
        console.print(f"{row['setting']} seed {_seed(row)}: {found}")
    good = [result for result in results if result["status"] == "ok"]
    for sentence in dominance(good):
        console.print(sentence)
    _say_doubts(good)
    baselines = {f"{result['baseline']:.4f} (seed {result['seed']})": None for result in good}
    console.print(
        "baseline, in metric (the better of the fine-tuned plain model and the one trained as long): "
        f"{good[0]['metric']} {', '.join(baselines)}"
    )
    _say_chosen(best, good[0]["max_drop"])


def _say_doubts(good: list[dict[str, Any]]) -> None:
    """One line for all jobs whose times are not to be trusted."""
    doubts = [result["doubt"] for result in good if result.get("doubt")]
    if doubts:
        console.print(f"{len(doubts)} of {len(good)} jobs, the first: {doubts[0]}", style="yellow")


def _say_chosen(best: dict[str, Any] | None, limit: float) -> None:
    if best is None:
        console.print(f"none stays within {limit:g} of the baseline; try a smaller λ or a milder target")
        return
    several, interval = best["runs"] > 1, f"{best['drop_low']:+.4f} to {best['drop_high']:+.4f}"
    drop = f"mean drop {best['drop']:+.4f} of {best['runs']} runs" if several else f"drop {best['drop']:+.4f}"
    speed = with_interval(best.get("speed"), (best.get("speed_low"), best.get("speed_high")))
    console.print(
        f"fastest within {limit:g} of the baseline: {best['setting']} ({drop}, 95% interval {interval}; within it in "
        f"{best['confidence']:.0%} of the paired bootstrap's resamples{' on average' if several else ''}; "
        f"{speed} times as fast as the fastest plain model{_alone(best)})"
    )
    if best["drop_high"] > limit:
        console.print(f"the interval of its drop reaches beyond {limit:g}: more may be lost than that")
    _say_test(best)


def _say_test(best: dict[str, Any]) -> None:
    """Of the chosen setting alone: what is measured on rows that nothing was chosen on."""
    if best.get("test_value") is None:
        console.print("its metric and drop are of dev, the rows that it was chosen on")
        return
    lost = best["test_baseline"] - best["test_value"]
    spread = f" ± {best['test_value_std']:.4f} over {best['runs']} runs" if best["runs"] > 1 else ""
    console.print(
        f"on the test split, which nothing was chosen on: {best['metric']} {best['test_value']:.4f}{spread}, baseline "
        f"{best['test_baseline']:.4f} (drop {lost:+.4f})"
    )


def _alone(best: dict[str, Any]) -> str:
    padding = padding_of(best)
    name = f"elimination_{padding}"
    if padding is None or best.get(name) is None or pd.isna(best[name]):
        return ""
    ratio = with_interval(best[name], (best.get(f"{name}_low"), best.get(f"{name}_high")))
    where = {"sorted": "in "}.get(padding, "") + PADDING_TITLES[padding]
    return f"; elimination alone {ratio}, {where}"


def _say_sizes(finished: list[dict[Any, Any]]) -> None:
    """How large and how fast each is, where several methods are compared."""
    heads = ["setting", "seed", "million parameters", "file MB", "sorted", "packed"]
    shown = plain_table("size, and speed-up against transformers' model", dict.fromkeys(heads, "right"))
    for row in finished:
        speeds = (f"{_listed(row, padding)} {_ends(row, f'speedup_{padding}')}" for padding in ("sorted", "packed"))
        size = f"{row['parameters'] / 1e6:.2f}", f"{row['file_mb']:.1f}"
        shown.add_row(row["setting"], _seed(row), *size, *speeds)
    console.print(shown)


def _say_speeds(finished: list[dict[Any, Any]]) -> None:
    """A line for each padding that was timed."""
    heads = ["setting", "seed", "padding", "vs plain", "95%", "alone", "95%"]
    shown = plain_table("speed-up, by padding", {})
    for head in heads:
        shown.add_column(head, justify="left" if head == "padding" else "right", no_wrap=head != "setting")
    for row in finished:
        first = [row["setting"], _seed(row)]
        for padding in PADDINGS:
            speed, alone = f"speedup_{padding}", f"elimination_{padding}"
            if row.get(speed) is None or pd.isna(row[speed]):
                continue
            cells = (_listed(row, padding), _ends(row, speed), _speed(row.get(alone)), _ends(row, alone))
            shown.add_row(*first, padding, *cells)
            first = ["", ""]
    console.print(shown)
    console.print("vs plain: in time, against transformers' own model; alone: elimination alone, against this encoder")
    console.print(line(_timed(finished), PADDING_WORDS))
    if any(_beyond(row) for row in finished):
        console.print("* its answers are too far from float32's (max_drop): its speed does not count")


def _timed(finished: list[dict[Any, Any]]) -> list[str]:
    return [one for one in PADDINGS if any(not pd.isna(row.get(f"speedup_{one}", None) or None) for row in finished)]


def _listed(row: dict[Any, Any], padding: str) -> str:
    return _speed(row.get(f"speedup_{padding}")) + ("*" if padding in _beyond(row) else "")


def _beyond(row: dict[Any, Any]) -> list[str]:
    """Paddings at which a job's answers do not count."""
    found = row.get("not_counted")
    return found if isinstance(found, list) else []
