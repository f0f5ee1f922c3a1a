"""Each axis alone and stacked beside the best plain engine: python benchmarks/stacked.py plain=BENCH=MODEL …

More entries are NAME=BENCH=MODEL. BENCH is the run directory of a bench with bench.accuracy=true and several engines
and precisions, MODEL the model directory that it timed. The first entry is the plain model: one that was re-trained
with retention=full. Of each entry the fastest contender in fp32 and the fastest of all stand in the table, of those
whose metric is within max_drop of the same model's in float32. "times" is against the fastest plain contender of the
same bench: engine, precision and padding are free. A file in int8 is what `export format=packed` writes.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

from powerbert_cli.store.artifacts import read_json
from powerbert_cli.store.model_dir import load_plain
from powerbert_cli.store.packed_file import NAME, write_packed


def file_mb(model: Path, int8: bool) -> float:
    if not int8:
        return sum(path.stat().st_size for path in model.glob("*.safetensors")) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        write_packed(load_plain(model), Path(folder) / NAME, embeddings=True)
        return (Path(folder) / NAME).stat().st_size / 1e6


def row(name: str, found: pd.Series, model: Path) -> None:
    int8 = found["precision"] == "int8"
    print(
        f"| {name} | {found['engine']}, {found['precision']}, {found['padding']} "
        f"| {found['value']:.4f} ({found['value_low']:.4f}..{found['value_high']:.4f}) "
        f"| {1000 / found['examples_per_s']:.2f} | {found['speedup_vs_best']:.2f} | {file_mb(model, int8):.1f} |"
    )


def main() -> None:
    entries = [entry.split("=") for entry in sys.argv[1:]]
    about = read_json(Path(entries[0][1]) / "timing.json")["environment"]
    print(f"{about['processor']} ({', '.join(about['cpu_flags'])}), {about['threads']} threads\n")
    print("| model | engine, precision, batches | metric (95%) | ms an input | times the best plain | file, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for position, (name, bench, model) in enumerate(entries):
        timing = pd.read_csv(Path(bench) / "timing.csv")
        timing = timing[timing["within_max_drop"].ne(False)].sort_values("median_s")
        if not position:
            plain = timing[
                (timing["model"] == "plain") | ((timing["model"] == "full") & (timing["padding"] == "packed"))
            ]
            row(
                "plain, transformers",
                plain[(plain["engine"] == "eager") & (plain["model"] == "plain")].iloc[0],
                Path(model),
            )
            row("plain, best in fp32", plain[plain["precision"] == "fp32"].iloc[0], Path(model))
            row("plain, best of all", plain.iloc[0], Path(model))
            continue
        own = timing[timing["model"] == "shortened"]
        row(f"{name}, best in fp32", own[own["precision"] == "fp32"].iloc[0], Path(model))
        row(f"{name}, best of all", own.iloc[0], Path(model))


if __name__ == "__main__":
    main()
