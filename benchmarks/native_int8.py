"""What int8 does to the answers of trained models, by rule of the scales: native_int8.py MODEL_DIR …

Of each finished model directory, on its dev split: the metric in float32, in the native engine's int8 by each rule, and
in OpenVINO's; the share of answers that differ (of a regression Pearson's r with float32's), and which products alone
change the logits most.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from powerbert_cli.bench.engines import runner
from powerbert_cli.bench.place import Place, Unavailable
from powerbert_cli.encoder.families import layers_of
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds import Kind
from powerbert_cli.method.elimination import plain
from powerbert_cli.models.kinds import load_shortened
from powerbert_cli.models.model_dir import RETENTION, load_plain
from powerbert_cli.models.tokenizers import own_tokenizer
from powerbert_cli.native.calibration import BY_ROW, Watched, scales_of, watched
from powerbert_cli.native.kernels import ByRow, Scale
from powerbert_cli.native.model import NativeModel
from powerbert_cli.settings import TaskSettings
from powerbert_cli.store.environment import cpu_flags
from powerbert_cli.store.task_file import read_task
from powerbert_cli.tasks.batches import answers, choose_rows, make_batches
from powerbert_cli.tasks.metrics import METRICS
from powerbert_cli.tasks.sources import load_task
from powerbert_cli.tasks.tokenizing import tokenize

COUNT, PERCENTILE = 64, 0.9999


def of_extremes(seen: Watched) -> Scale:
    return Scale.of_range(float(seen.low.min()), float(seen.high.max()))


def of_percentile(seen: Watched) -> Scale:
    """Both ends where that share of the numbers lies within."""
    low, high = np.percentile(torch.cat(seen.rows).numpy(), [100 * (1 - PERCENTILE), 100 * PERCENTILE])
    return Scale.of_range(min(0.0, float(low)), max(0.0, float(high)))


def all_by(rule: Callable[[NativeModel, tuple[int, str], Watched], Scale]) -> Callable[..., Any]:
    """The rule of all products but those whose inputs have a scale for each row."""

    def of(native: NativeModel, seen: dict[tuple[int, str], Watched]) -> Any:
        return {key: ByRow() if key[1] == BY_ROW else rule(native, key, one) for key, one in seen.items()}

    return of


RULES = {
    "the engine's": scales_of,
    "not smoothed": all_by(lambda native, key, one: one.scale(native.product(*key), False)[0]),
    "extremes": all_by(lambda native, key, one: of_extremes(one)),
    f"percentile {PERCENTILE}": all_by(lambda native, key, one: of_percentile(one)),
}


def main(folder: Path) -> None:
    task = read_task(folder)
    assert task is not None
    if (folder / RETENTION).is_file():
        model: ShortenedModel = load_shortened(folder)
    else:
        host = load_plain(folder)
        model = ShortenedModel(host, plain(task.seq_len, layers_of(host.config))).eval()
    settings = TaskSettings(**{"data_dir": None, **Kind.OPTIONS, **task.task})
    kind = settings.of_kind
    data, tokenizer = load_task(settings), own_tokenizer(str(folder), "")
    pad = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=task.seq_len)
    few = data.train.rows.select(choose_rows(len(data.train), COUNT, 1, 0))
    train, dev = (tokenize(rows, kind, tokenizer, task.seq_len) for rows in (few, data.dev.rows))
    inputs = make_batches(list(train), "longest", 1, pad, "cpu", task.seq_len)

    def said(run: Any) -> np.ndarray:
        return answers(run, dev, pad, 32, seq_len=task.seq_len).logits

    exact, labels = said(model), kind.labels(dev)

    def row(name: str, logits: np.ndarray) -> None:
        found, wanted = (kind.predictions(one, dev) for one in (logits, exact))
        value = METRICS[settings.metric](labels, found)
        differ = f"r {np.corrcoef(found, wanted)[0, 1]:.5f}" if kind.VALUES else f"{np.mean(found != wanted):.2%}"
        error = float(np.sqrt(np.mean((logits - exact) ** 2)) / exact.std())
        print(f"| {folder.parent.name} | {name} | {value:.4f} | {differ} | {error:.3f} |", flush=True)

    print(f"\n{folder}: {settings.name}, {len(labels)} dev rows, CPU {' '.join(cpu_flags())}")
    print("| model | way | metric | answers that differ | error of logits over their spread |")
    print("| --- | --- | --- | --- | --- |")
    row("float32", exact)
    native = NativeModel(model)
    seen = watched(native, inputs)
    for name, rule in RULES.items():
        native = NativeModel(model)
        native.in_int8(rule(native, seen))
        row(f"native int8, {name}", said(native))
    with tempfile.TemporaryDirectory() as files:
        try:
            place = Place("cpu", torch.get_num_threads(), Path(files), inputs)
            row("OpenVINO int8", said(runner("openvino", "model", model, "int8", place)))
        except Unavailable as error:
            print(f"OpenVINO: {error}")
    exact_products = NativeModel(model)
    lost = [
        f"{j + 1} {one.scale(exact_products.product(j, name), True)[1]:.3f} "
        f"{one.lost_by_row(exact_products.product(j, name)):.3f}"
        for (j, name), one in seen.items()
        if name == BY_ROW
    ]
    print("lost of a down-projection's results, layer, one scale for all rows, by row: " + "; ".join(lost))
    alone = {}
    for key, scale in scales_of(NativeModel(model), seen, 1.0).items():
        native = NativeModel(model)
        native.in_int8({key: scale})
        with torch.inference_mode():
            found = torch.cat([native(**batch).logits for batch in inputs])
            wanted = torch.cat([model(**batch).logits for batch in inputs])
        alone[key] = float((found - wanted).square().mean().sqrt() / wanted.std())
    worst = sorted(alone, key=lambda key: -alone[key])[:5]
    print("most sensitive alone: " + ", ".join(f"{j}.{name} {alone[j, name]:.4f}" for j, name in worst))


if __name__ == "__main__":
    for given in sys.argv[1:]:
        main(Path(given))
