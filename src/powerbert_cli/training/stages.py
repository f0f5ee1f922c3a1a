"""Fine-tuning, search and re-training as functions: model and data in, results out."""

import logging
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers import (
    DataCollatorForMultipleChoice,
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

from .. import processes
from ..encoder.searching import SearchModel, SoftThresholdModel
from ..encoder.shortened import EliminationModel, ShortenedModel
from ..errors import PowerbertError
from ..method import soft_extract
from ..settings import RetrainStage
from ..tasks.metrics import all_scores, predictions_of, score_of_authors_code
from ..tasks.tokenizing import sorted_batches
from .checkpoints import last_whole
from .controller import Controller
from .diverged import Diverged, check_finite
from .interruption import Interruption
from .retraining import Answers, RetrainTrainer, with_teacher
from .trainer import Plan, SearchTrainer, SortedTrainer, arguments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """What a training reads: tokenised rows (input_ids, labels, length) and how to batch them."""

    train: datasets.Dataset
    dev: datasets.Dataset
    tokenizer: PreTrainedTokenizerBase
    seq_len: int
    metric: str
    kind: str

    def collator(self, padding: str) -> Any:
        """padding: longest (of the batch) or max (ℓ)."""
        cls = DataCollatorForMultipleChoice if self.kind == "multiple_choice" else DataCollatorWithPadding
        if padding == "max":
            return cls(self.tokenizer, padding="max_length", max_length=self.seq_len)
        return cls(self.tokenizer, padding="longest")


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
        masses: mass_j at the end, (L,); of thresholds as measured on dev.
        retention_parameters: r at the end, (L, ℓ), or -θ, (L, 1).
        trained: dev results of the soft-extract model itself.
    """

    masses: tuple[float, ...]
    retention_parameters: torch.Tensor
    trained: Trained


def train_classifier(
    model: ShortenedModel,
    material: Material,
    plan: Plan,
    folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
    options: RetrainStage | None = None,
    teacher: Answers | None = None,
) -> Trained:
    """Fine-tunes a model with its extract layers; with full retention that is plain fine-tuning.

    With 0 epochs the model is only measured, which shows what elimination does without re-training.
    The epoch with the best headline metric on dev is kept. A run that was stopped goes on from
    the last checkpoint in `folder`.

    Args:
        options: what is added to labels, see `RetrainTrainer`; None for nothing.
        teacher: the fine-tuned model's answers on the training rows, if `options` distils.
    """
    set_seed(plan.seed)
    if teacher is not None:
        material = replace(material, train=with_teacher(material.train, teacher))
    keep_best_by = material.metric if plan.best_by == "metric" else plan.best_by

    def make(plan: Plan) -> SortedTrainer:
        given = {
            "model": model,
            "args": arguments(plan, folder, keep_best_by),
            **_shared(material, plan, callbacks),
        }
        return SortedTrainer(**given) if options is None else RetrainTrainer(options=options, **given)

    return _run(make, plan, material, folder)


def search_retention(
    model: SearchModel,
    material: Material,
    plan: Plan,
    regularizer_weight: float,
    lr_soft: float,
    decoupled: bool,
    folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
    weights: Callable[[torch.Tensor], torch.Tensor] | None = None,
    controller: Controller | None = None,
) -> Searched:
    """Learns retention parameters and weights together; the last epoch counts.

    Args:
        weights, controller: see `SearchTrainer`.
    """
    set_seed(plan.seed)

    def make(plan: Plan) -> SearchTrainer:
        trainer = SearchTrainer(
            model=model,
            args=arguments(plan, folder, keep_best_by=None),
            regularizer_weight=regularizer_weight,
            lr_soft=lr_soft,
            decoupled=decoupled,
            weights=weights,
            controller=controller,
            **_shared(material, plan, callbacks),
        )
        trainer.add_callback(_MassHistory(trainer))
        return trainer

    trained = _run(make, plan, material, folder)
    r = model.retention_parameters.detach().float().cpu()
    masses = model.masses().detach().tolist()
    if isinstance(model, SoftThresholdModel):
        masses = mean_survivors(model, material, plan.batch_size)
    return Searched(tuple(masses), r, trained)


def mean_kept(model: ShortenedModel, material: Material, batch_size: int) -> list[float]:
    """Real word-vectors that leave each layer, averaged over the dev inputs: L numbers."""

    def kept(given: dict[str, torch.Tensor]) -> list[float]:
        return [float((positions >= 0).sum()) for positions in model.kept_positions(**given)]

    return _over_dev(model, material, batch_size, kept)


def mean_survivors(model: SoftThresholdModel, material: Material, batch_size: int) -> list[float]:
    """As `mean_kept`, of soft thresholds: what the search expects of the inputs that hard ones are measured on."""

    def survivors(given: dict[str, torch.Tensor]) -> list[float]:
        model(**given)
        return [float(count) * len(given["input_ids"]) for count in model.counts]

    return _over_dev(model, material, batch_size, survivors)


@torch.no_grad()
def _over_dev(
    model: EliminationModel,
    material: Material,
    batch_size: int,
    count: Callable[[dict[str, torch.Tensor]], list[float]],
) -> list[float]:
    """What is counted in each layer of a batch, for an input of dev on average."""
    model.eval()
    device, totals, inputs = next(model.parameters()).device, [0.0] * model.layers, 0
    for batch in sorted_batches(material.dev, material.collator("longest"), batch_size):
        given = {name: part.flatten(0, -2).to(device) for name, part in batch.items()}
        totals = [total + own for total, own in zip(totals, count(given), strict=True)]
        inputs += len(given["input_ids"])
    return [total / inputs for total in totals]


def search_steps(rows: int, plan: Plan) -> int:
    """Optimiser steps of a whole search."""
    return math.ceil(rows / plan.batch_size) * plan.epochs


def _shared(material: Material, plan: Plan, callbacks: Sequence[TrainerCallback]) -> dict[str, Any]:
    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        labels = np.asarray(prediction.label_ids)
        predictions = predictions_of(np.asarray(prediction.predictions), material.kind)
        scores = all_scores(material.metric, labels, predictions)
        if plan.best_by == "ibm":
            regression = material.kind == "regression"
            scores["ibm"] = score_of_authors_code(labels, predictions, regression, plan.batch_size)
        return scores

    return {
        "train_dataset": material.train,
        "eval_dataset": material.dev,
        "data_collator": material.collator(plan.training.padding),
        "processing_class": material.tokenizer,
        "compute_metrics": compute_metrics,
        "callbacks": list(callbacks),
        "group_by_length": plan.training.group_by_length,
    }


def _run(make: Callable[[Plan], SortedTrainer], plan: Plan, material: Material, folder: Path) -> Trained:
    """Trains; where memory runs out, in smaller micro-batches of the same effective batch."""
    trainer = make(plan)
    assert isinstance(trainer.model, EliminationModel)
    beginning = {name: part.detach().cpu().clone() for name, part in trainer.model.state_dict().items()}
    while True:
        trainer.pop_callback(_default_printer())
        trainer.model.attention_dropout = plan.training.attention_dropout
        try:
            if plan.epochs:
                _train(trainer, plan, folder)
            break
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if processes.count() > 1:  # the others wait in the middle of a step
                raise PowerbertError(
                    f"out of memory: set training.accumulation={2 * plan.training.accumulation} or more, for smaller "
                    "micro-batches of the same effective batch (this training then begins anew)"
                ) from error
            smaller = _with_smaller_micro_batches(plan)
            if smaller is None:
                raise PowerbertError(
                    f"out of memory with micro-batches of one example of up to {material.seq_len} word-pieces; "
                    "lower seq_len, or take a smaller model or another device"
                ) from error
        # outside of the handler, which would keep the failed step's tensors alive
        trainer.model.zero_grad(set_to_none=True)
        clear_device_cache(garbage_collection=True)
        plan = smaller
        log.warning(
            "out of memory: going on with %d micro-batches of %d for each batch of %d (training.accumulation=%d)",
            *(plan.training.accumulation, plan.batch_size // plan.training.accumulation, plan.batch_size),
            plan.training.accumulation,
        )
        trainer.model.load_state_dict(beginning)
        set_seed(plan.seed)
        trainer = make(plan)
    output = trainer.predict(material.dev)
    check_finite(output.predictions, "the logits on dev", trainer.way_out())
    history = pd.DataFrame(trainer.state.log_history)
    return Trained(np.asarray(output.predictions, dtype=np.float64), np.asarray(output.label_ids), history)


def _train(trainer: Trainer, plan: Plan, folder: Path) -> None:
    with Interruption(plan.save_minutes) as interruption:
        trainer.add_callback(interruption)
        try:
            trainer.train(resume_from_checkpoint=processes.agreed(last_whole(folder) if processes.is_first() else None))
        except Diverged:
            for checkpoint in folder.glob("checkpoint-*"):  # the same command must not go on from what is lost
                shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        interruption.raise_if_asked()


def _with_smaller_micro_batches(plan: Plan) -> Plan | None:
    """At most half as large; None if they are single examples already."""
    for parts in range(2 * plan.training.accumulation, plan.batch_size + 1):
        if plan.batch_size % parts == 0:
            return replace(plan, training=replace(plan.training, accumulation=parts))
    return None


def _default_printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


class _MassHistory(TrainerCallback):
    """Adds mass_j of each layer, after each step, to the history that checkpoints carry; lets a controller adapt λ."""

    def __init__(self, trainer: SearchTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        controller = self.trainer.controller
        if controller is not None:  # a run that goes on, or begins
            beginning: dict[str, Any] = {"integral": 0.0, "share": None, "lambda": controller.start}
            last = next((row for row in reversed(state.log_history) if "integral" in row), beginning)
            controller.integral, controller.last = last["integral"], last["share"]
            self.trainer.regularizer_weight = last["lambda"]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        target: SearchModel = getattr(model, "module", model)
        masses = target.masses().detach()
        check_finite(masses.cpu(), f"the masses of {self.trainer.at_step()}", self.trainer.way_out())
        row: dict[str, float] = {"step": state.global_step, "epoch": state.epoch or 0.0}
        row["task_loss"] = float(self.trainer.accelerator.reduce(self.trainer.task_loss, "mean"))
        weights = self.trainer.weights(masses)
        row["regularizer"] = self.trainer.regularizer_weight * float(soft_extract.regularizer(masses, weights))
        if self.trainer.controller is not None:
            row |= self.trainer.controller.update(masses, state.global_step, state.max_steps)
            self.trainer.regularizer_weight = row["lambda"]
        row |= {f"mass_{j}": float(mass) for j, mass in enumerate(masses, start=1)}
        state.log_history.append(row)
