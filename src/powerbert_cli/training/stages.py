"""Fine-tuning, search and re-training as functions: model and data in, results out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from ..encoder.shortened import EliminationModel, ShortenedModel, SoftExtractModel
from ..method import soft_extract
from ..method.retention import lengths_from_masses
from ..tasks.metrics import all_scores, predictions_of
from .trainer import Plan, SearchTrainer, arguments


@dataclass(frozen=True)
class Material:
    """What a training reads: tokenised rows (input_ids, labels, length) and how to batch them."""

    train: datasets.Dataset
    dev: datasets.Dataset
    tokenizer: PreTrainedTokenizerBase
    seq_len: int
    metric: str
    regression: bool

    def collator(self, padding: str) -> DataCollatorWithPadding:
        """padding: longest (of the batch) or max (ℓ)."""
        if padding == "max":
            return DataCollatorWithPadding(self.tokenizer, padding="max_length", max_length=self.seq_len)
        return DataCollatorWithPadding(self.tokenizer, padding="longest")


@dataclass(frozen=True)
class Trained:
    """Dev logits (n, C), labels (n,) and history of a finished training."""

    logits: np.ndarray
    labels: np.ndarray
    history: pd.DataFrame


@dataclass(frozen=True)
class Searched:
    """Result of a search.

    Attributes:
        lengths: the retention configuration.
        masses: mass_j at the end, (L,).
        retention_parameters: r at the end, (L, ℓ).
        trained: dev results of the soft-extract model itself.
    """

    lengths: tuple[int, ...]
    masses: tuple[float, ...]
    retention_parameters: torch.Tensor
    trained: Trained


def train_classifier(
    model: ShortenedModel, material: Material, plan: Plan, folder: Path, callbacks: Sequence[TrainerCallback] = ()
) -> Trained:
    """Fine-tunes a model with its extract layers; with full retention that is plain fine-tuning.

    The epoch with the best headline metric on dev is kept. A run that was stopped goes on from
    the last checkpoint in `folder`.
    """
    set_seed(plan.seed)
    trainer = Trainer(
        model=model,
        args=arguments(plan, folder, keep_best_by=material.metric),
        **_shared(material, plan, callbacks),
    )
    return _run(trainer, plan, material, folder)


def search_retention(
    model: SoftExtractModel,
    material: Material,
    plan: Plan,
    regularizer_weight: float,
    lr_soft: float,
    folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> Searched:
    """Learns retention parameters and weights together; the last epoch counts."""
    set_seed(plan.seed)
    trainer = SearchTrainer(
        model=model,
        args=arguments(plan, folder, keep_best_by=None),
        regularizer_weight=regularizer_weight,
        lr_soft=lr_soft,
        **_shared(material, plan, callbacks),
    )
    trainer.add_callback(_MassHistory(trainer))
    trained = _run(trainer, plan, material, folder)
    r = model.retention_parameters.detach().float().cpu()
    masses = tuple(float(mass) for mass in soft_extract.masses(r))
    return Searched(lengths_from_masses(masses, model.seq_len), masses, r, trained)


def learning_rates(steps: int, warmup_ratio: float, peak: float) -> torch.Tensor:
    """Learning rate of each of the S steps of linear warm-up and decay, (S,)."""
    warmup = math.ceil(steps * warmup_ratio)
    step = torch.arange(steps, dtype=torch.float64)
    rising = step / max(1, warmup)
    falling = (steps - step) / max(1, steps - warmup)
    return peak * torch.where(step < warmup, rising, falling)


def search_steps(rows: int, plan: Plan) -> int:
    """Optimiser steps of a whole search."""
    return math.ceil(rows / plan.batch_size) * plan.epochs


def _shared(material: Material, plan: Plan, callbacks: Sequence[TrainerCallback]) -> dict[str, Any]:
    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        predictions = predictions_of(np.asarray(prediction.predictions), material.regression)
        return all_scores(material.metric, np.asarray(prediction.label_ids), predictions)

    return {
        "train_dataset": material.train,
        "eval_dataset": material.dev,
        "data_collator": material.collator(plan.training.padding),
        "processing_class": material.tokenizer,
        "compute_metrics": compute_metrics,
        "callbacks": list(callbacks),
    }


def _run(trainer: Trainer, plan: Plan, material: Material, folder: Path) -> Trained:
    trainer.pop_callback(_default_printer())
    assert isinstance(trainer.model, EliminationModel)
    trainer.model.attention_dropout = plan.training.attention_dropout
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    output = trainer.predict(material.dev)
    history = pd.DataFrame(trainer.state.log_history)
    return Trained(np.asarray(output.predictions, dtype=np.float64), np.asarray(output.label_ids), history)


def _default_printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


class _MassHistory(TrainerCallback):
    """Adds mass_j of each layer, after each step, to the history that checkpoints carry."""

    def __init__(self, trainer: SearchTrainer) -> None:
        self.trainer = trainer

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        target: SoftExtractModel = getattr(model, "module", model)
        r = target.retention_parameters.detach()
        row: dict[str, float] = {"step": state.global_step, "epoch": state.epoch or 0.0}
        if self.trainer.task_loss is not None:
            row["task_loss"] = float(self.trainer.task_loss)
        row["regularizer"] = self.trainer.regularizer_weight * float(soft_extract.regularizer(r))
        row |= {f"mass_{j}": float(mass) for j, mass in enumerate(soft_extract.masses(r), start=1)}
        state.log_history.append(row)
