"""A small training that many tests share."""

import datasets
import torch

from powerbert_cli.kinds.classification import Classification
from powerbert_cli.settings import TrainingSettings
from powerbert_cli.tasks.batches import Material
from powerbert_cli.tasks.tokenizing import build_tokenizer
from powerbert_cli.training.trainer import Plan

OPTIONS = {
    "precision": "fp32", "warmup_ratio": 0.1, "weight_decay": 0.0, "max_grad_norm": 0.0,
    "attention_dropout": None, "accumulation": 1, "padding": "longest", "group_by_length": True,
    "class_weights": None, "early_stopping": None,
}  # fmt: skip
NO_PATIENCE = {"patient": 0.0, "patient_layers": "skip", "patient_norm": True}


def plan(**changes):
    options = TrainingSettings(**{**OPTIONS, **changes.pop("training", {})})
    return Plan(
        **{
            "lr": 1e-3,
            "epochs": 1,
            "batch_size": 4,
            "seed": 0,
            "training": options,
            "device": "cpu",
            "workers": 0,
            **changes,
        }
    )


def make_material():
    """24 inputs of 3 to 14 word-pieces; the class is whether word 7 is in them."""
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(8, 40, (3 + i % 12,), generator=generator).tolist() for i in range(24)]
    labels = [i % 2 for i in range(24)]
    ids = [[2, 7, *row[2:]] if label else row for row, label in zip(ids, labels, strict=True)]
    rows = datasets.Dataset.from_dict(
        {
            "input_ids": ids,
            "attention_mask": [[1] * len(i) for i in ids],
            "labels": labels,
            "length": [len(i) for i in ids],
        }
    )
    return Material(rows, rows, build_tokenizer(["a b c"], 100), 16, Classification(["0", "1"], "accuracy"))
