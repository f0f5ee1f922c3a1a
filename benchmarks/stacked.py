"""Each axis alone and stacked beside the best plain engine: python benchmarks/stacked.py plain=BENCH=MODEL …

More entries are NAME=BENCH=MODEL. BENCH is the run directory of a bench with bench.accuracy=true and several engines
and precisions, MODEL the model directory that it timed. The first entry is the plain model: one that was re-trained
with retention=full. Of each entry the fastest contenders in fp32 and in int8 stand in the table; * marks a metric that
is more than max_drop below the same model's in float32. "times" is against the fastest plain contender of the same
bench whose metric is not: engine, precision and padding are free. A file in int8 is what `export format=packed` writes.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from powerbert_cli.models.model_dir import load_plain
from powerbert_cli.models.packed_file import NAME, write_packed
from powerbert_cli.store.artifacts import read_json


def file_mb(model: Path, int8: bool) -> float:
    if not int8:
        return sum(path.stat().st_size for path in model.glob("*.safetensors")) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        write_packed(load_plain(model), Path(folder) / NAME, embeddings=True)
        return (Path(folder) / NAME).stat().st_size / 1e6


def row(name: str, timing: pd.DataFrame, precision: str, model: Path) -> None:
    found = timing[timing["precision"] == precision].iloc[0]
    star = "*" if str(found["within_max_drop"]) == "False" else ""
    low, high = (found.get(f"speedup_vs_best_{end}") for end in ("low", "high"))  # older tables have none
    ends = "" if low is None else f" ({low:.2f}..{high:.2f})"
    print(
        f"| {name} | {found['engine']}, {found['precision']}, {found['padding']} "
        f"| {found['value']:.4f}{star} ({found['value_low']:.4f}..{found['value_high']:.4f}) "
        f"| {1000 / found['examples_per_s']:.2f} | {found['speedup_vs_best']:.2f}{ends} "
        f"| {file_mb(model, precision == 'int8'):.1f} |"
    )


def main() -> None:
    entries = [entry.split("=") for entry in sys.argv[1:]]
    about = read_json(Path(entries[0][1]) / "timing.json")["environment"]
    print(f"{about['processor']} ({', '.join(about['cpu_flags'])}), {about['threads']} threads\n")
    print("| model | engine, precision, batches | metric (95%) | ms an input | times the best plain | file, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for position, (name, bench, model) in enumerate(entries):
        timing = pd.read_csv(Path(bench) / "timing.csv").sort_values("median_s")
        own = timing["model"] == ("shortened" if position else "plain")
        if not position:
            own |= (timing["model"] == "full") & (timing["padding"] == "packed")
            eager = timing[own & (timing["engine"] == "eager")]
            if len(eager):
                row("plain, transformers", eager, "fp32", Path(model))
        for precision, said in (("fp32", name), ("int8", f"{name}, bits")):
            row(said, timing[own], precision, Path(model))


if __name__ == "__main__":
    main()
