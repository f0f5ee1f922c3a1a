"""transformers.Trainer with what the method needs on top."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from ..encoder.shortened import SearchModel
from ..method import soft_extract
from ..settings import TrainingSettings
from ..tasks.tokenizing import by_length, restored
from .controller import Controller
from .sampling import EpochSampler


@dataclass(frozen=True)
class Plan:
    """One training: everything that decides its result but model and data."""

    lr: float
    epochs: int
    batch_size: int
    seed: int
    training: TrainingSettings
    device: str
    workers: int
    best_by: str = "metric"  # of the task, or ibm: as the authors' code
    save_minutes: float | None = None  # between checkpoints within an epoch


def resolve_device(device: str) -> str:
    """'auto' to cuda where there is one, else cpu."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def arguments(plan: Plan, folder: Path, keep_best_by: str | None) -> TrainingArguments:
    """Trainer settings: Adam, linear warm-up and decay, a checkpoint for each epoch.

    Args:
        folder: where checkpoints go, and are resumed from.
        keep_best_by: metric whose best epoch is kept; None keeps the last.
    """
    options = plan.training
    use_cpu = resolve_device(plan.device) == "cpu"
    args = TrainingArguments(
        output_dir=str(folder),
        learning_rate=plan.lr,
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=plan.batch_size // options.accumulation,
        per_device_eval_batch_size=plan.batch_size,
        gradient_accumulation_steps=options.accumulation,
        warmup_steps=options.warmup_ratio,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        lr_scheduler_type="linear",
        optim="adamw_torch",
        seed=plan.seed,
        bf16=options.precision == "bf16",
        fp16=options.precision == "fp16",
        train_sampling_strategy="group_by_length" if options.group_by_length else "random",
        dataloader_num_workers=plan.workers,
        dataloader_pin_memory=not use_cpu,
        use_cpu=use_cpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=keep_best_by is not None,
        metric_for_best_model=f"eval_{keep_best_by}" if keep_best_by else None,
        greater_is_better=True if keep_best_by else None,
        logging_strategy="steps",
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        label_names=["labels"],
    )
    if not use_cpu:
        args._n_gpu = 1  # one process drives one GPU; several take torchrun, not nn.DataParallel
    return args


class SortedTrainer(Trainer):
    """Evaluates in length-sorted batches; predictions and metrics are in the order of the rows.

    Trains in an order that follows from seed and epoch, so that a run that was stopped goes on alike.
    """

    def __init__(self, *, eval_dataset: datasets.Dataset, compute_metrics: Any, **kwargs: Any) -> None:
        order = by_length(eval_dataset)

        def metrics_in_order(found: EvalPrediction) -> dict[str, float]:
            return compute_metrics(EvalPrediction(restored(found.predictions, order), restored(found.label_ids, order)))

        super().__init__(eval_dataset=eval_dataset, compute_metrics=metrics_in_order, **kwargs)
        self._eval_order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        rows: Any = self.train_dataset  # with its column of lengths, which what is given has lost
        return EpochSampler(batch, list(rows["length"]), self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return self._eval_order.tolist()

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        output = super().evaluation_loop(*args, **kwargs)
        return output._replace(
            predictions=restored(output.predictions, self._eval_order),
            label_ids=restored(output.label_ids, self._eval_order),
        )


class SearchTrainer(SortedTrainer):
    """Learns retention parameters beside the model's own (section 3.3, equation 4).

    Args:
        regularizer_weight: λ.
        lr_soft: learning rate of the retention parameters.
        decoupled: shrink them by their learning rate times λ·w_j in each step, apart from Adam, in
            place of λ Σ_j w_j · mass_j in the loss.
        weights: (L,) masses → w_j (L,); None for the index j.
        controller: adapts λ after each step so that a target is met; None leaves it.
    """

    def __init__(
        self,
        *,
        regularizer_weight: float,
        lr_soft: float,
        decoupled: bool,
        weights: Callable[[torch.Tensor], torch.Tensor] | None = None,
        controller: Controller | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.regularizer_weight = regularizer_weight
        self.weights = weights or soft_extract.index_weights
        self.controller = controller
        self.lr_soft = lr_soft
        self.decoupled = decoupled
        self.task_loss: torch.Tensor | None = None
        self.add_callback(_AfterStep(self))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            unwrapped = self.accelerator.unwrap_model(self.model)
            retention = unwrapped.retention_parameters
            decay = set(self.get_decay_parameter_names(unwrapped))
            groups: dict[bool, list[Any]] = {True: [], False: []}
            for name, parameter in unwrapped.named_parameters():
                if parameter is not retention:
                    groups[name in decay].append(parameter)
            cls, options = self.get_optimizer_cls_and_kwargs(self.args, unwrapped)
            self.optimizer = cls(
                [
                    {"params": groups[True], "weight_decay": self.args.weight_decay},
                    {"params": groups[False], "weight_decay": 0.0},
                    {"params": [retention], "weight_decay": 0.0, "lr": self.lr_soft},
                ],
                **options,
            )
        return self.optimizer

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if model.training:
            self.task_loss = loss.detach()
            if not self.decoupled:
                masses = self.accelerator.unwrap_model(model).masses()
                # accumulation averages both terms
                loss = loss + self.regularizer_weight * soft_extract.regularizer(masses, self.weights(masses))
        return (loss, outputs) if return_outputs else loss


class _AfterStep(TrainerCallback):
    """Shrinks (decoupled) and clips the retention parameters after each optimiser step, before anything reads them."""

    def __init__(self, trainer: SearchTrainer) -> None:
        self.trainer = trainer

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        target: SearchModel = getattr(model, "module", model)
        if self.trainer.decoupled:
            assert self.trainer.optimizer is not None
            lr = self.trainer.optimizer.param_groups[-1]["lr"]
            target.shrink_(lr * self.trainer.regularizer_weight * self.trainer.weights(target.masses().detach()))
        target.clip_()
