"""Packed rows against an earlier encoder and transformers' model.

    python benchmarks/packed.py EARLIER FILE TOKENIZER [OPTION=VALUE …]

EARLIER is a checkout of a commit whose encoder pads (git worktree add EARLIER 7896608), FILE a table (.tsv, .tsv.gz)
whose longest column is the text. All contenders run in one process and in turns, on the lengths of FILE's texts with
random word-pieces and weights; their logits are compared first.
"""

import gzip
import importlib
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import from_keys

SIZES = {
    "mini": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "base": {},
}
OPTIONS = {"size": "mini", "seq_len": 64, "batch_size": 32, "examples": 256, "rounds": 9, "threads": 2}
OPTIONS |= {"lengths": "24,17,7,4,4,1", "fractions": "1,0.8,0.5,0.4375,0.4375,0.0001"}
Batches = list[tuple[list[int], dict[str, torch.Tensor]]]


def lengths_of(file: Path, tokenizer: str, seq_len: int) -> list[int]:
    """Word-pieces of each text, in a drawn order."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    texts = [max(line.split("\t"), key=len) for line in content.decode().splitlines()[1:]]
    encode = AutoTokenizer.from_pretrained(tokenizer)
    found = [len(ids) for ids in encode(texts, truncation=True, max_length=seq_len)["input_ids"]]
    random.Random(0).shuffle(found)
    return found


def batches_of(lengths: list[int], order: list[int], size: int) -> Batches:
    made = []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        ids = torch.zeros(len(rows), max(lengths[i] for i in rows), dtype=torch.long)
        for row, i in enumerate(rows):
            drawn = torch.randint(1000, 30000, (lengths[i],), generator=torch.Generator().manual_seed(i))
            ids[row, : lengths[i]] = drawn
        batch = {"input_ids": ids}
        if bool((ids == 0).any()):
            batch["attention_mask"] = (ids != 0).long()
        made.append((rows, batch))
    return made


def earlier(folder: Path) -> tuple[Any, Any]:
    """Shortened model and elimination of another checkout, under another name."""
    place = Path(tempfile.mkdtemp())
    shutil.copytree(folder / "src/powerbert_cli", place / "powerbert_earlier")
    sys.path.append(str(place))
    names = ("encoder.shortened", "method.elimination")
    shortened, elimination = (importlib.import_module(f"powerbert_earlier.{name}") for name in names)
    return shortened.ShortenedModel, elimination.Elimination


def main() -> None:
    folder, file, tokenizer, *given = sys.argv[1:]
    options = {**OPTIONS, **{name: type(OPTIONS[name])(value) for name, value in (one.split("=") for one in given)}}
    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    host = BertForSequenceClassification(BertConfig(num_labels=2, **SIZES[options["size"]])).eval()
    n, layers = options["seq_len"], host.config.num_hidden_layers
    configurations: dict[str, dict[str, Any]] = {
        "full": {"lengths": (n,) * layers},
        "absolute": {"lengths": tuple(map(int, options["lengths"].split(",")))},
        "relative": {"kind": "relative", "fractions": tuple(map(float, options["fractions"].split(",")))},
    }
    before, elimination = earlier(Path(folder))
    models: dict[tuple[str, str], Any] = {("transformers", "plain"): host}
    for name, keys in configurations.items():
        models["earlier", name] = before(host, elimination(**{"lengths": None, "seq_len": n, **keys})).eval()
        models["packed", name] = ShortenedModel(host, from_keys({"seq_len": n, **keys})).eval()
    lengths = lengths_of(Path(file), tokenizer, n)[: options["examples"]]
    order = list(range(len(lengths)))
    by_length = sorted(order, key=lambda i: -lengths[i])
    batches = {
        name: batches_of(lengths, rows, options["batch_size"])
        for name, rows in (("longest", order), ("sorted", by_length))
    }
    contenders = [(model, name, padding) for model, name in models for padding in batches]

    def run(model: str, name: str, padding: str) -> torch.Tensor:
        logits = torch.zeros(len(lengths), 2)
        for rows, batch in batches[padding]:
            logits[rows] = models[model, name](**batch).logits
        return logits

    apart = max(
        float((run("earlier", name, padding) - run("packed", name, padding)).abs().max())
        for name in configurations
        for padding in batches
    )
    taken: dict[tuple[str, str, str], list[float]] = {one: [] for one in contenders}
    shuffle = random.Random(0)
    for _ in range(options["rounds"]):
        shuffle.shuffle(contenders)
        for one in contenders:
            start = time.perf_counter()
            run(*one)
            taken[one].append(time.perf_counter() - start)
    ms = {one: 1000 * statistics.median(seconds) / len(batches[one[2]]) for one, seconds in taken.items()}
    flags = [
        flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_tile") if flag in Path("/proc/cpuinfo").read_text()
    ]
    print(
        f"{options}\n{' '.join(flags)}; mean length {sum(lengths) / len(lengths):.1f}; logits differ by {apart:.1e}\n"
    )
    print("| model | longest ms | sorted ms |\n| --- | --- | --- |")
    for model, name in models:
        print(f"| {model} {name} | {ms[model, name, 'longest']:.1f} | {ms[model, name, 'sorted']:.1f} |")
    print("\n| packed, in the order of arrival | against | ratio |\n| --- | --- | --- |")
    for name in configurations:
        for against in (("transformers", "plain", "sorted"), ("earlier", name, "sorted"), ("earlier", name, "longest")):
            ratio = ms[against] / ms["packed", name, "longest"]
            print(f"| {name} | {against[0]} {against[1]}, {against[2]} | {ratio:.2f} |")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
