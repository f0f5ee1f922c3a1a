"""transformers.Trainer with what the method needs on top."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import EvalPrediction, Trainer, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, seed_worker

from .. import processes
from ..settings import TrainingSettings
from ..tasks.batch import MEDIA
from ..tasks.batches import OrderSampler, by_length, lengths_of, restored
from ..tasks.epochs import EpochBatches, EpochLoader
from .diverged import check_finite


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
    resumes: bool = True  # the folder stays, so that the same training can go on from a checkpoint in it


def resolve_device(device: str) -> str:
    """'auto' to cuda where there is one, else cpu."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


@contextlib.contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """Mixed precision as the Trainer has it: bf16 or fp16; fp32 is none."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        yield


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
        per_device_train_batch_size=plan.batch_size // (options.accumulation * processes.count()),
        per_device_eval_batch_size=plan.batch_size,
        eval_accumulation_steps=256,  # else each batch's logits are appended by copying all before them
        gradient_accumulation_steps=options.accumulation,
        warmup_steps=options.warmup_ratio,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        lr_scheduler_type="linear",
        # on one core 7 times as fast as the plain loop, which took half of a small encoder's step
        optim="adamw_torch_fused",
        seed=plan.seed,
        bf16=options.precision == "bf16",
        fp16=options.precision == "fp16",
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
        logging_nan_inf_filter=False,  # `training_step` stops there; the filter waits for the device twice a step
        report_to="none",
        disable_tqdm=True,
        label_names=["labels"],
    )
    if not use_cpu:
        args._n_gpu = 1  # one process drives one GPU; several take torchrun, not nn.DataParallel
    return args


class ReproducibleTrainer(Trainer):
    """Trains in an order that follows from seed and epoch, so that a run that was stopped goes on alike.

    However a batch is cut into micro-batches and shared out among processes, each of its examples counts the same.
    Evaluates in length-sorted batches; predictions and metrics are in the order of the rows.

    Args:
        group_by_length: batches of rows of about the same length.
        class_weights: what a row of each class counts in training, up to (C,); None for 1.
        examples: labels of a batch → how many examples the model's loss is a mean over.
    """

    def __init__(
        self,
        *,
        eval_dataset: datasets.Dataset,
        compute_metrics: Any,
        group_by_length: bool,
        class_weights: torch.Tensor | None = None,
        examples: Callable[[Any], Any] = len,
        **kwargs: Any,
    ) -> None:
        order = by_length(eval_dataset)

        def metrics_in_order(found: EvalPrediction) -> dict[str, float]:
            check_finite(found.predictions, f"the logits after {self.at_step()}", self.way_out())
            return compute_metrics(EvalPrediction(restored(found.predictions, order), restored(found.label_ids, order)))

        super().__init__(eval_dataset=eval_dataset, compute_metrics=metrics_in_order, **kwargs)
        self._eval_order = order
        self._on_dev: dict[int, Any] = {}  # predictions by step: of the best one, and of the last
        self._group_by_length, self._class_weights, self._examples = group_by_length, class_weights, examples
        self.model_accepts_loss_kwargs = True  # has the examples of a whole batch counted, see `compute_loss`

    def at_step(self) -> str:
        """The optimiser step under way, as messages name it."""
        return f"step {self.state.global_step}/{self.state.max_steps}"

    def way_out(self) -> str:
        """What to lower where the training diverges."""
        if not self.args.num_train_epochs:
            return "the model was not trained here, so its weights are damaged or made for another precision"
        return f"lower the learning rate (lr={self.args.learning_rate:g}), or set training.max_grad_norm=1"

    def apart(self) -> tuple[list[torch.nn.Parameter], float]:
        """Parameters that have a learning rate of their own and no weight decay, and that rate."""
        return [], 0.0

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        parameters, lr = self.apart()
        if self.optimizer is not None or not parameters:
            return super().create_optimizer(model)
        unwrapped = self.accelerator.unwrap_model(self.model)
        decay = set(self.get_decay_parameter_names(unwrapped))
        own = set(map(id, parameters))
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for name, parameter in unwrapped.named_parameters():
            if id(parameter) not in own:
                groups[name in decay].append(parameter)
        cls, options = self.get_optimizer_cls_and_kwargs(self.args, unwrapped)
        self.optimizer = cls(
            [
                {"params": groups[True], "weight_decay": self.args.weight_decay},
                {"params": groups[False], "weight_decay": 0.0},
                {"params": parameters, "weight_decay": 0.0, "lr": lr},
            ],
            **options,
        )
        return self.optimizer

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        step = f"step {self.state.global_step + 1}/{self.state.max_steps}"
        check_finite(float(loss), f"the training diverged: the loss of {step}", self.way_out())
        return loss

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns: Any = [*dict.fromkeys([*(self._signature_columns or ()), *MEDIA])]

    def get_train_dataloader(self) -> EpochLoader:
        rows, args = self.train_dataset, self.args
        assert isinstance(rows, datasets.Dataset)
        batches = EpochBatches(
            len(rows),
            args.train_batch_size * args.gradient_accumulation_steps * processes.count(),
            args.gradient_accumulation_steps,
            args.seed,
            lengths_of(rows).tolist() if self._group_by_length else None,
        )
        return EpochLoader(
            self._remove_unused_columns(rows, description="training"),
            batch_sampler=batches,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Examples in a whole batch: of all micro-batches that are given and of all processes."""
        examples = torch.tensor(int(sum(self._examples(batch["labels"]) for batch in batch_samples)), device=device)
        return self.accelerator.reduce(examples, "sum")

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The mean over the micro-batch's examples; in training what it adds to that over the whole batch."""
        outputs, loss = self.answer(model, inputs)
        if model.training:
            # gradients are summed over micro-batches, and averaged over processes
            weight = int(self._examples(inputs["labels"])) * processes.count() / num_items_in_batch
            loss = self.with_terms(model, loss * weight)
        return (loss, outputs) if return_outputs else loss

    def answer(self, model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[Any, torch.Tensor]:
        """The model's outputs, and the mean loss of the examples."""
        outputs = model(**inputs)
        if self._class_weights is None or not model.training:
            return outputs, outputs.loss
        logits, labels = outputs.logits.float(), inputs["labels"]
        # a mean over rows, not over their weights: the parts of a cut batch then add up to the whole one's
        more = logits.shape[-1] - len(self._class_weights)  # the last classes may have no training rows
        weights = torch.nn.functional.pad(self._class_weights, (0, more)).to(logits.device)
        return outputs, torch.nn.functional.cross_entropy(logits, labels, weights, reduction="sum") / len(labels)

    def with_terms(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Adds what does not come from examples to a micro-batch's part of the loss."""
        return loss

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return OrderSampler(self._eval_order)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        output = super().evaluation_loop(*args, **kwargs)
        predictions = restored(output.predictions, self._eval_order)
        best = {step: found for step, found in self._on_dev.items() if step == self.state.best_global_step}
        self._on_dev = best | {self.state.global_step: predictions}
        return output._replace(predictions=predictions, label_ids=restored(output.label_ids, self._eval_order))

    def on_dev(self, rows: datasets.Dataset) -> Any:
        """Predictions (n, …) on dev's rows of the weights that are left; of an epoch's that was kept, its own."""
        kept = self.state.best_global_step if self.args.load_best_model_at_end else None
        found = None if kept is None else self._on_dev.get(kept)
        return self.predict(rows).predictions if found is None else found
