"""What a run says at its end."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from ..bench.choice import POINT, Choice, choices, counted, doubt_of
from ..method.retention import Thresholds
from ..settings import ENGINE_PRECISIONS
from ..settings.folders import exported
from ..store.artifacts import read_json
from ..store.compression_file import read_compression
from ..store.retention_file import RetentionFile
from .console import console
from .words import COLUMNS, MODELS, PADDINGS, line


def say_metrics(path: Path, what: str) -> float:
    """Prints a metrics.json; returns its headline value."""
    metrics = read_json(path)
    low, high = metrics["interval"]
    epochs = metrics.get("best_of_epochs")
    chosen = f"; the best of {epochs} epochs on these rows" if epochs else ""
    console.print(
        f"{what}: {metrics['task']} {metrics['split']} {metrics['metric']} {metrics['value']:.4f} "
        f"(95% interval {low:.4f} to {high:.4f}, n={metrics['n']}, seed {metrics['seed']}{chosen})"
    )
    return float(metrics["value"])


def say_test_metrics(path: Path | None) -> None:
    """Prints a test_metrics.json, if there is one."""
    if path is not None:
        say_metrics(path, "on the test split, which nothing was chosen on")


def say_retention(retention: RetentionFile) -> float:
    """Prints a retention configuration; returns the share of word-vectors kept."""
    elimination = retention.elimination
    by_thresholds = isinstance(elimination.retention, Thresholds)
    if by_thresholds:
        console.print(f"thresholds: {', '.join(f'{value:.3f}' for value in elimination.retention.values)}")
    share = retention.kept_share
    if share is None:
        return 1.0
    average = " on average over dev" if by_thresholds else ""
    of = " an input's own" if elimination.relative else " the"
    console.print(
        f"retention configuration ({'relative' if elimination.relative else f'ℓ={elimination.seq_len}'}): "
        f"{joined(retention.configuration)} keeps {share:.1%} of{of} word-vectors{average}"
    )
    return share


def say_compression(model_dir: Path) -> None:
    """Prints what was removed of a model, if anything was."""
    found = read_compression(model_dir)
    if found is not None:
        (neurons, kept), (before, after) = found.neurons, found.parameters
        widths = f"{kept} of {neurons} feed-forward neurons in each"
        if found.sizes:
            heads, each = (
                joined([of(size) for size in found.sizes]) for of in (lambda s: len(s.heads), lambda s: s.neurons)
            )
            widths = f"heads by layer {heads}, feed-forward neurons {each}"
        if found.how:
            console.print(
                f"compressed: {len(found.kept_layers)} of {found.layers} layers, {widths}, {found.flops:.3f} of the "
                f"FLOPs, {after / 1e6:.2f} of {before / 1e6:.2f} million parameters"
            )
        if found.bits:
            parts = {"bits": "weights of {} bits", "act_bits": "inputs of {} bits", "sparsity": "{} sparse"}
            said = [words.format(found.bits[name]) for name, words in parts.items() if name in found.bits]
            console.print(f"linear layers: {', '.join(said)}")


def joined(configuration: Sequence[float]) -> str:
    """17,15,14 or 0.75,0.5,0.2"""
    return ",".join(f"{value:g}" for value in configuration)


def say_run_dir(run_dir: Path) -> None:
    console.print(f"run directory: {run_dir}")


def plain_table(title: str, columns: dict[str, str]) -> Table:
    """A table that fits 80 columns: names of the columns with their justification. Settings wrap, numbers never."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    for name, justify in columns.items():
        table.add_column(name, justify=justify, no_wrap=name != "setting")  # type: ignore[arg-type]
    return table


def say_timing(timing: pd.DataFrame, model_dir: Path | None = None) -> None:
    """Prints the main columns of a timing table: one for each setting, engine and precision.

    Args:
        model_dir: of the shortened model, for the command that ships it; None of weights that are not trained.
    """
    for (engine, precision, threads, seq_len, batch_size), rows in timing.groupby(
        ["engine", "precision", *POINT], sort=False
    ):
        title = f"time of a batch of {batch_size}, ℓ={seq_len}, {engine}, {precision}, {threads} threads"
        console.print(_timing_table(title, rows))
    _say_legend(timing)
    _say_answers(timing)
    for choice in choices(timing):
        _say_choice(choice, None if model_dir is None else str(shown_path(model_dir)))
    if not counted(timing).all():
        console.print("* its answers are too far from float32's (max_drop): its speed does not count")
    if (doubt := doubt_of(timing)) is not None:
        console.print(doubt, style="yellow")


def _say_legend(timing: pd.DataFrame) -> None:
    """What the names in the tables above mean; four lines."""
    console.print(line(timing["model"], MODELS))
    console.print(line(timing["padding"], PADDINGS))
    console.print(line(("vs plain", "alone", "vs others", *_optional(timing)), COLUMNS))
    console.print(
        f"{line(('FLOPs', 'tokens/s', 'of peak'), COLUMNS)}; 95%: interval of vs plain over {timing['rounds'].min()} "
        "rounds"
    )


def _optional(rows: pd.DataFrame) -> list[str]:
    """A column that has something to say only if that padding was timed."""
    return [] if rows["speedup_vs_padded"].isna().all() else ["vs padded"]


def _timing_table(title: str, rows: pd.DataFrame) -> Table:
    columns = {"padding": "left", "model": "left"}
    heads = ["ms", "vs plain", "95%", "FLOPs", "alone", "vs others", "tok/s", "of peak", *_optional(rows)]
    table = plain_table(title, {**columns, **dict.fromkeys(heads, "right")})
    table.collapse_padding = True  # so that it fits
    for row, counts in zip(rows.to_dict("records"), counted(rows), strict=True):
        plain = row["model"] == "plain"
        cells = [
            row["padding"],
            row["model"] + ("" if counts else "*"),
            f"{1000 * row['median_s']:.1f}",
            "" if plain else _number(row["speedup"]),
            "" if plain or pd.isna(row["speedup"]) else f"{row['speedup_low']:.2f}-{row['speedup_high']:.2f}",
            "" if plain else _number(row["flops_ratio"]),
            _number(row["elimination"]),
            _number(row["speedup_vs_others"]),
            "" if pd.isna(row["tokens_per_s_core"]) else f"{row['tokens_per_s_core']:.0f}",
            "" if pd.isna(row["peak_share"]) else f"{row['peak_share']:.0%}",
            _number(row["speedup_vs_padded"]),
        ]
        table.add_row(*cells[: len(columns) + len(heads)])
    return table


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.2f}"


def _say_answers(timing: pd.DataFrame) -> None:
    """What engines and precisions do to the answers, where it was measured."""
    if "value" not in timing or timing["value"].isna().all():
        return
    measured = timing.dropna(subset="value").drop_duplicates(["model", "engine", "precision", "seq_len"])
    heads = [str(measured["metric"].iloc[0]), "in fp32", "drop, 95%", "counts", "answers differ", "logits by"]
    flags = measured["cpu_flags"].dropna().tolist() if "cpu_flags" in measured else []
    on = f" (CPU: {flags[0]})" if flags else ""
    shown = plain_table(f"answers on dev{on}", {"model": "left", "engine": "left", "precision": "left"})
    for head in heads:
        shown.add_column(head, justify="right", no_wrap=True)
    for row in measured.to_dict("records"):
        differ = row["answers_differ"]
        shown.add_row(
            *(row["model"], row["engine"], row["precision"]),
            f"{row['value']:.4f}",
            f"{row['value_fp32']:.4f}",
            f"{row['drop_low']:+.3f}..{row['drop_high']:+.3f}",
            "yes" if row["within_max_drop"] else "no",
            "–" if differ is None or pd.isna(differ) else f"{differ:.2%}",
            f"{row['logits_differ']:.2g}",
        )
    console.print(shown)


def _say_choice(choice: Choice, model_dir: str | None) -> None:
    """The fastest contender of which nothing was removed against the fastest shortened one, whatever their engines."""
    one, other = choice.plain, choice.shortened
    last = ("max_s", "max") if pd.isna(other["p99_s"]) else ("p99_s", "p99")
    tail = [f"{1000 * other[name]:.1f}" for name in ("p50_s", "p95_s", last[0])]
    console.print(
        f"fastest plain: {one['contender']} {one['examples_per_s']:.1f} examples/s; fastest shortened: "
        f"{other['contender']} {other['examples_per_s']:.1f} examples/s, "
        f"{with_interval(choice.speedup, choice.interval)} times as fast ({choice.point}); a call of it takes "
        f"{', '.join(tail)} ms (p50, p95, {last[1]})"
    )
    if model_dir is not None:
        console.print(f"to ship it: {_shipping(model_dir, other['engine'], other['precision'])}")


def _shipping(model_dir: str, engine: str, precision: str) -> str:
    """The whole command that writes what an engine loads; of PyTorch, or of what is written, the one that answers."""
    written = exported(Path(model_dir))
    if written is not None and (engine, precision) == written.runs:
        return f"{shlex.join(['powerbert', 'predict', f'model_dir={model_dir}'])} input=FILE output=ANSWERS"
    if engine in ENGINE_PRECISIONS:
        return shlex.join(
            ["powerbert", "export", f"model_dir={model_dir}", f"engine={engine}", f"precision={precision}"]
        )
    answers = ["powerbert", "predict", f"model_dir={model_dir}", f"engine={engine}", f"precision={precision}"]
    return f"{shlex.join(answers)} input=FILE output=ANSWERS"


def shown_path(path: Path) -> Path:
    """As a person would write it: from the current folder if it is below that."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else path


def with_interval(ratio: Any, interval: Sequence[Any] | None) -> str:
    """2.00 (95% 1.90 to 2.10); without an interval the ratio alone, and – where there is none."""
    if ratio is None or pd.isna(ratio):
        return "–"
    known = interval is not None and not any(end is None or pd.isna(end) for end in interval)
    return f"{ratio:.2f} (95% {interval[0]:.2f} to {interval[1]:.2f})" if known and interval else f"{ratio:.2f}"
