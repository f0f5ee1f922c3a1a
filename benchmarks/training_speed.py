"""Steps of fine-tuning, search and re-training, taking turns: python benchmarks/training_speed.py [OPTIONS]

At BERT-base size with random weights, the published configuration and generated inputs padded to ℓ, through the same
trainers as the verbs. Prints the median seconds of a step and its ratio to a step of fine-tuning in transformers.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, Trainer, TrainerCallback, default_data_collator
from transformers.trainer_callback import PrinterCallback

from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Elimination, plain
from powerbert_cli.method.retention import Lengths
from powerbert_cli.settings import TrainingSettings
from powerbert_cli.training.soft_search import SearchTrainer
from powerbert_cli.training.trainer import Plan, arguments

PUBLISHED = {
    "cola": (64, (17, 15, 14, 13, 12, 11, 11, 9, 6, 5, 5, 5)),
    "rte": (256, (153, 125, 111, 105, 85, 80, 72, 48, 35, 27, 22, 5)),
}


class StepClock(TrainerCallback):
    """Seconds of each optimiser step but the first of a run, which warms up."""

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step > 1:
            self.seconds.append(time.perf_counter() - self.start)


def generated(rows: int, seq_len: int) -> datasets.Dataset:
    ids = np.random.default_rng(0).integers(1000, 30000, (rows, seq_len))
    mask = np.ones_like(ids)
    given = {"input_ids": ids, "attention_mask": mask, "labels": [0, 1] * (rows // 2), "length": [seq_len] * rows}
    return datasets.Dataset.from_dict(given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=PUBLISHED, default="cola")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rehearse", action="store_true", help="with a tiny model")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    seq_len, lengths = PUBLISHED[given.task]
    size = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64} if given.rehearse else {}
    host = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("bert", **size))
    models = {
        "fine-tuning, transformers": host,
        "fine-tuning": ShortenedModel(host, plain(seq_len, 12)),
        "search": SoftExtractModel(host, plain(seq_len, 12)),
        "re-training": ShortenedModel(host, Elimination(Lengths(tuple(lengths)), seq_len)),
    }
    training = TrainingSettings(
        precision=given.precision,
        warmup_ratio=0.1,
        weight_decay=0.0,
        max_grad_norm=0.0,
        attention_dropout=None,
        accumulation=1,
        padding="max",
        group_by_length=False,
        class_weights=None,
        early_stopping=None,
    )
    plan = Plan(3e-5, 1, given.batch_size, 0, training, "auto", 0)
    rows = generated(given.batch_size * (given.steps + 1), seq_len)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with tempfile.TemporaryDirectory() as folder:
        args = arguments(plan, Path(folder), None)
        args.eval_strategy = args.save_strategy = args.logging_strategy = "no"  # type: ignore[assignment]
        for _ in range(given.rounds):
            for name, model in models.items():
                more: dict[str, Any] = {}
                if name == "search":
                    more = {"regularizer_weight": 1e-3, "lr_soft": 1e-2, "decoupled": False, "group_by_length": False}
                    more |= {"eval_dataset": rows, "compute_metrics": None}
                trainer = (SearchTrainer if more else Trainer)(
                    model=model,
                    args=args,
                    train_dataset=rows,
                    data_collator=default_data_collator,
                    callbacks=[StepClock(seconds[name])],
                    **more,
                )
                trainer.pop_callback(PrinterCallback)
                trainer.train()
    base = float(np.median(seconds["fine-tuning, transformers"]))
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"{given.task}, ℓ={seq_len}, batch size {given.batch_size}, {given.precision}, {where}\n")
    print("| step of | median s | of a fine-tuning step |\n| --- | --- | --- |")
    for name, taken in seconds.items():
        print(f"| {name} | {np.median(taken):.2f} | {np.median(taken) / base:.2f} |")


if __name__ == "__main__":
    main()
