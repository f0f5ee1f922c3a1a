"""Running a training to its end: resumed where it was stopped, in smaller pieces where memory runs out."""

import logging
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
from sklearn.utils.class_weight import compute_class_weight
from transformers import EvalPrediction, Trainer, TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback

from .. import processes, shell
from ..encoder.driven import EliminationModel
from ..errors import PowerbertError
from ..tasks.batches import Material
from ..tasks.metrics import all_scores, score_of_authors_code
from .checkpoints import last_whole
from .diverged import Diverged, check_finite
from .interruption import Interruption
from .trainer import Plan, ReproducibleTrainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """Logits (n, C) of encoded dev rows, these rows, and the history of a finished training."""

    logits: np.ndarray
    rows: datasets.Dataset
    history: pd.DataFrame


def shared(material: Material, plan: Plan, callbacks: Sequence[TrainerCallback]) -> dict[str, Any]:
    """What every `ReproducibleTrainer` is made with."""

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        labels = material.labels
        predictions = material.kind.predictions(np.asarray(prediction.predictions), material.dev)
        scores = all_scores(material.kind.metric, labels, predictions)
        if plan.best_by == "ibm":
            scores["ibm"] = score_of_authors_code(labels, predictions, material.kind.VALUES, plan.batch_size)
        return scores

    return {
        "train_dataset": material.train,
        "eval_dataset": material.dev,
        "data_collator": material.collator(plan.training.padding),
        "processing_class": material.processor,
        "compute_metrics": compute_metrics,
        "callbacks": list(callbacks),
        "examples": material.kind.examples,
        "group_by_length": plan.training.group_by_length,
        "class_weights": balanced_weights(material) if plan.training.class_weights else None,
    }


def balanced_weights(material: Material) -> torch.Tensor:
    """n / (C · n_c) of each class c, float32, by scikit-learn's rule; up to the last class that has training rows."""
    labels = np.asarray(material.train.with_format("numpy")["labels"][:])
    present = np.unique(labels)
    weights = torch.zeros(int(labels.max()) + 1)
    weights[present] = torch.as_tensor(compute_class_weight("balanced", classes=present, y=labels), dtype=torch.float32)
    return weights


def run(make: Callable[[Plan], ReproducibleTrainer], plan: Plan, material: Material, folder: Path) -> Trained:
    """Trains; where memory runs out, in smaller micro-batches of the same effective batch."""
    with shell.left_out():
        return _run(make, plan, material, folder)


def _run(make: Callable[[Plan], ReproducibleTrainer], plan: Plan, material: Material, folder: Path) -> Trained:
    trainer = make(plan)
    assert isinstance(trainer.model, EliminationModel)
    beginning = {name: tensor.detach().cpu().clone() for name, tensor in trainer.model.state_dict().items()}
    while True:
        trainer.pop_callback(PrinterCallback)
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
    predictions = trainer.on_dev(material.dev)
    check_finite(predictions, "the logits on dev", trainer.way_out())
    history = pd.DataFrame(trainer.state.log_history)
    return Trained(np.asarray(predictions, dtype=np.float64), material.dev, history)


def _train(trainer: Trainer, plan: Plan, folder: Path) -> None:
    if not plan.resumes:
        trainer.train()
        return
    with Interruption(plan.save_minutes) as interruption:
        trainer.add_callback(interruption)
        try:
            trainer.train(resume_from_checkpoint=processes.agreed(last_whole(folder) if processes.is_main() else None))
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
