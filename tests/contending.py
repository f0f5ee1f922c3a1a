"""Contenders of a bench on a few generated rows."""

import torch

from powerbert_cli.bench.contenders import Field, build_contenders, models_of
from powerbert_cli.bench.table import table
from powerbert_cli.bench.timing import measure, warm_up
from powerbert_cli.settings import BENCH_MODELS

ALL = ("max", "longest", "sorted")


def pad(part):
    lengths = torch.tensor([len(row["input_ids"]) for row in part])
    return {
        "input_ids": torch.tensor([row["input_ids"] + [0] * (16 - len(row["input_ids"])) for row in part]),
        "attention_mask": (torch.arange(16) < lengths[:, None]).long(),
    }


def contenders_of(
    model,
    rows,
    place,
    engines=("eager",),
    precisions=("fp32",),
    paddings=ALL,
    peaks=None,
    models=BENCH_MODELS,
    whole=None,
):
    field = Field(models, engines, paddings, precisions)
    return build_contenders(models_of(model, whole), rows, pad, field, 2, 16, place, peaks or {})


def table_of(contenders):
    warm_up(contenders, "cpu")
    measure(contenders, rounds=3, max_seconds=0, device="cpu")
    return table(contenders, 2, 16)
