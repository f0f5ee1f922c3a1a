"""Learning retention parameters beside the model's own (section 3.3, equation 4)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, set_seed

from ..encoder.driven import EliminationModel
from ..encoder.inputs import flat, main_input
from ..encoder.searching import SearchModel, SoftThresholdModel
from ..encoder.shortened import ShortenedModel
from ..method import soft_extract
from ..tasks.batches import Batch, Material, in_length_order
from .controller import Controller
from .diverged import check_finite
from .run import Trained, run, shared
from .trainer import Plan, ReproducibleTrainer, arguments


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
            **shared(material, plan, callbacks),
        )
        trainer.add_callback(_MassHistory(trainer))
        return trainer

    trained = run(make, plan, material, folder)
    r = model.retention_parameters.detach().float().cpu()
    masses = model.masses().detach().tolist()
    if isinstance(model, SoftThresholdModel):
        masses = mean_survivors(model, material, plan.batch_size)
    return Searched(tuple(masses), r, trained)


def search_steps(rows: int, plan: Plan) -> int:
    """Optimiser steps of a whole search."""
    return math.ceil(rows / plan.batch_size) * plan.epochs


class SearchTrainer(ReproducibleTrainer):
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
        self.task_loss = torch.zeros(())  # of the step under way, without the regulariser
        self.pull: torch.Tensor | None = None  # the regulariser's gradient in this step, where it is kept apart
        self.add_callback(_AroundStep(self))

    def apart(self) -> tuple[list[torch.nn.Parameter], float]:
        return [self.accelerator.unwrap_model(self.model).retention_parameters], self.lr_soft

    def way_out(self) -> str:
        return f"{super().way_out()}, or lower lr_soft={self.lr_soft:g} or λ={self.regularizer_weight:g}"

    def with_terms(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        self.task_loss = self.task_loss + loss.detach()
        if self.decoupled:
            return loss
        masses = self.accelerator.unwrap_model(model).masses()
        regularizer = self.regularizer_weight * soft_extract.regularizer(masses, self.weights(masses))
        regularizer = regularizer / self.current_gradient_accumulation_steps
        if not self.args.max_grad_norm:
            return loss + regularizer
        # Clipping bounds the task's gradient: a λ that is clipped with it would be another λ.
        (pull,) = torch.autograd.grad(regularizer, self.apart()[0], retain_graph=True)
        self.pull = pull if self.pull is None else self.pull + pull
        return loss + regularizer.detach()

    def add_pull(self) -> None:
        """Adds the regulariser's gradient to that of the task, once this is clipped."""
        (r,), _ = self.apart()
        if self.pull is not None and r.grad is not None:
            r.grad += self.accelerator.reduce(self.pull, "mean").to(r.grad)
        self.pull = None


class _AroundStep(TrainerCallback):
    """Shrinks (decoupled) and clips the retention parameters after each optimiser step, before anything reads them."""

    def __init__(self, trainer: SearchTrainer) -> None:
        self.trainer = trainer

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trainer.task_loss = torch.zeros((), device=args.device)
        self._advance(kwargs["model"], state)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._advance(kwargs["model"], state)

    @staticmethod
    def _advance(model: Any, state: TrainerState) -> None:
        target: SearchModel = getattr(model, "module", model)
        target.advance(state.global_step / max(1, state.max_steps))

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trainer.add_pull()

    def on_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        target: SearchModel = getattr(model, "module", model)
        # a step that overflowed in fp16 is none: it moves r no more than the weights
        if self.trainer.decoupled and not self.trainer.accelerator.optimizer_step_was_skipped:
            assert self.trainer.optimizer is not None
            lr = self.trainer.optimizer.param_groups[-1]["lr"]
            target.shrink_(lr * self.trainer.regularizer_weight * self.trainer.weights(target.masses().detach()))
        target.clip_()


class _MassHistory(TrainerCallback):
    """Adds mass_j of each layer, after each step, to the history that checkpoints carry; lets a controller adapt λ."""

    def __init__(self, trainer: SearchTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        controller = self.trainer.controller
        if controller is not None:  # a run that goes on, or begins
            beginning: dict[str, Any] = {"integral": 0.0, "share": None, "lambda": controller.start}
            last = next((row for row in reversed(state.log_history) if "integral" in row), beginning)
            controller.integral, controller.last = last["integral"], last["share"]
            self.trainer.regularizer_weight = last["lambda"]

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        target: SearchModel = getattr(model, "module", model)
        loss = self.trainer.accelerator.reduce(self.trainer.task_loss, "mean")
        # fetched at once: a GPU is waited for once a step
        found = torch.cat((target.masses().detach(), loss.float().view(1))).cpu()
        masses = found[:-1]
        check_finite(masses, f"the masses of {self.trainer.at_step()}", self.trainer.way_out())
        row: dict[str, float] = {"step": state.global_step, "epoch": state.epoch or 0.0}
        row["task_loss"] = float(found[-1])
        weights = self.trainer.weights(masses)
        row["regularizer"] = self.trainer.regularizer_weight * float(soft_extract.regularizer(masses, weights))
        if self.trainer.controller is not None:
            row |= self.trainer.controller.update(masses, state.global_step, state.max_steps)
            self.trainer.regularizer_weight = row["lambda"]
        row |= {f"mass_{j}": mass for j, mass in enumerate(masses.tolist(), start=1)}
        state.log_history.append(row)


def mean_kept(model: ShortenedModel, material: Material, batch_size: int) -> list[float]:
    """Real word-vectors that leave each layer, averaged over the dev inputs: L numbers."""

    def kept(batch: Batch) -> list[float]:
        return [float((positions >= 0).sum()) for positions in model.kept_positions(**batch)]

    return _over_dev(model, material, batch_size, kept)


def mean_survivors(model: SoftThresholdModel, material: Material, batch_size: int) -> list[float]:
    """As `mean_kept`, of soft thresholds: what the search expects of the inputs that hard ones are measured on."""

    def survivors(batch: Batch) -> list[float]:
        model(**batch)
        return [float(count) * len(main_input(batch)) for count in model.counts]

    return _over_dev(model, material, batch_size, survivors)


@torch.no_grad()
def _over_dev(
    model: EliminationModel, material: Material, batch_size: int, count: Callable[[Batch], list[float]]
) -> list[float]:
    """What is counted in each layer of a batch, for an input of dev on average."""
    model.eval()
    device, totals, inputs = next(model.parameters()).device, [0.0] * model.layers, 0
    for batch in in_length_order(material.dev, batch_size, material.collator("longest"), device):
        inputs_of = {name: flat(tensor) for name, tensor in batch.items()}
        totals = [total + own for total, own in zip(totals, count(inputs_of), strict=True)]
        inputs += len(main_input(inputs_of))
    return [total / inputs for total in totals]
