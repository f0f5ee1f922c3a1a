"""What `check` says, and its picture of lengths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bench.choice import WIDE, overloaded
from ..bench.plan import duration
from .console import console
from .pays_table import say_pays
from .tables import plain_table
from .words import ON_A_GPU

FEW = 10  # rows of a class below which its metric says nothing


def say_check(found: dict[str, Any], names: Sequence[str] | None, lr_soft: float) -> None:
    """Prints what was found, and what is worth a look.

    Args:
        found: see `recipes.check.check`. names: of the classes.
    """
    heads = ["rows", "empty", "repeated", "repeated, labels differ"]
    shown = plain_table("rows", {"split": "left", **dict.fromkeys(heads, "right"), "setting": "left"})
    shown.columns[-1].header = "labels"
    for name, split in found["splits"].items():
        counts = (split[column] for column in ("rows", "empty", "repeated", "conflicts"))
        shown.add_row(name, *map(str, counts), _labels(split["labels"], names))
    console.print(shown)
    lengths = ", ".join(f"{p}% ≤ {length}" for p, length in found["lengths"].items())
    of = f"{found.get('unit', 'word-pieces')} of training {found.get('inputs', 'texts')}"
    console.print(f"{of}: {lengths}; ℓ={found['seq_len']} cuts {found['cut']:.1%}")
    search, seconds = found["search"], found["seconds"]
    if search["regularizer"] == "loss":
        console.print(
            f"search: in {search['steps']} steps at lr_soft={lr_soft:g} a retention parameter, which starts at 1, can "
            f"fall by {search['reach']:.2f}"
        )
    stages = ", ".join(f"{name} {_range(*seconds['ranges'][name])}" for name in ("finetune", "search", "retrain"))
    low, high = (1000 * end for end in seconds["step_range"])
    step = f"{low:.0f} to {high:.0f}" if f"{low:.0f}" != f"{high:.0f}" else f"{high:.0f}"
    console.print(
        f"time here, about: {stages} (a step takes {step} ms; search and re-training are estimated from a "
        "fine-tuning step)"
    )
    if pays := found["pays"]:
        flops = f"{pays[0]['flops']:.2f} of the FLOPs"
        say_pays(pays, f"what dropping word-vectors to {flops} brings here by itself (95%)")
        if found["device"] == "cuda":
            console.print(ON_A_GPU)
    for warning in warnings(found):
        console.print(f"look at this: {warning}", style="yellow")


def warnings(found: dict[str, Any]) -> list[str]:
    """What would spoil a result."""
    said, train = [], found["splits"]["train"]
    if found["overlap"]:
        said.append(f"{found['overlap']} dev rows have a text that stands in train too; their metric flatters")
    if train["conflicts"]:
        said.append(f"{train['conflicts']} training texts stand there several times with different labels")
    for name, split in found["splits"].items():
        if split["empty"]:
            said.append(f"{split['empty']} rows of {name} have no text")
        few = [label for label, count in split["labels"].items() if label.isdigit() and count < FEW]
        if few:
            said.append(f"class {', '.join(few)} has fewer than {FEW} rows in {name}")
    if found["cut"] > 0.05:
        said.append(f"ℓ cuts {found['cut']:.1%} of the texts; the paper's rule gives {found['by_the_papers_rule']}")
    if found["search"]["regularizer"] == "loss" and found["search"]["reach"] < 1:
        said.append("no retention parameter can come down to 0: set lr_soft=auto, or more search.epochs")
    return [*said, *_of_times(found)]


def _of_times(found: dict[str, Any]) -> list[str]:
    """Why the times are not to be trusted."""
    load, (low, high) = found["load"], found["seconds"]["step_range"]
    busy = None if load["average"] is None else overloaded(load["average"], load["cores"], load["threads"])
    ends = f"{1000 * low:.0f} to {1000 * high:.0f} ms on average"
    wide = f"steps took very different times ({ends}), set check.steps higher"
    reasons = [*([busy] if busy else []), *([wide] if high > WIDE * low else [])]
    said = [f"do not trust the times: {'; '.join(reasons)}"] if reasons else []
    return said


def _labels(labels: dict[str, Any], names: Sequence[str] | None) -> str:
    def name(label: str) -> str:
        return names[int(label)] if names and label.isdigit() and int(label) < len(names) else label

    return ", ".join(f"{name(label)} {count:g}" for label, count in labels.items()) or "none"


def _range(low: float, high: float) -> str:
    return " to ".join(dict.fromkeys((duration(low), duration(high))))


def draw_lengths(
    lengths: Sequence[int], seq_len: int, task: str, path: Path, unit: str = "word-pieces", inputs: str = "texts"
) -> None:
    """How many training texts have how many word-pieces, or other inputs of another unit, and where ℓ cuts."""
    from .agg import new_figure

    figure = new_figure(7.2, 3.6)
    axis = figure.subplots()
    width = -(-max(lengths) // 60)  # whole word-pieces, or else some bars have a length more than others
    axis.hist(lengths, bins=[edge - 0.5 for edge in range(0, max(lengths) + width + 1, width)], color="tab:blue")
    axis.axvline(seq_len, color="black", ls=":", label=f"ℓ={seq_len}")
    axis.set(xlabel=unit, ylabel=f"training {inputs}", title=f"{task}: lengths")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
