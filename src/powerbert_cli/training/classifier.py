"""Fine-tuning a classifier with its extract layers, and what re-training can add: distillation, gradual shortening,
many budgets at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import TrainerCallback, set_seed

from ..encoder.answered import tag_loss
from ..encoder.families import known_problem
from ..encoder.quantising import clip_parameters
from ..encoder.shortened import ShortenedModel
from ..kinds.media import TEACHER
from ..method.elimination import Elimination, between, drawn_between
from ..settings import RetrainStage
from ..tasks.batch import MEDIA
from ..tasks.batches import Answers, Material, firsts
from .run import Trained, run, shared
from .trainer import Plan, ReproducibleTrainer, arguments


def train_classifier(
    model: ShortenedModel,
    material: Material,
    plan: Plan,
    folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
    options: RetrainStage | None = None,
    teacher: Answers | None = None,
    lr_clips: float = 0.0,
) -> Trained:
    """Fine-tunes a model with its extract layers; with full retention that is plain fine-tuning.

    With 0 epochs the model is only measured, which shows what elimination does without re-training.
    The epoch with the best headline metric on dev is kept. A run that was stopped goes on from
    the last checkpoint in `folder`.

    Args:
        options: what is added to labels, see `RetrainTrainer`; None for nothing.
        teacher: the fine-tuned model's answers on the training rows, if `options` distils.
        lr_clips: learning rate of clips, where the model quantises inputs.
    """
    set_seed(plan.seed)
    if teacher is not None:
        material = replace(material, train=with_teacher(material.train, teacher))
    keep_best_by = material.kind.metric if plan.best_by == "metric" else plan.best_by
    if plan.training.early_stopping:
        callbacks = [*callbacks, EarlyStopping(plan.training.early_stopping, f"eval_{keep_best_by}")]

    def make(plan: Plan) -> ReproducibleTrainer:
        given = {
            "model": model,
            "args": arguments(plan, folder, keep_best_by),
            **shared(material, plan, callbacks),
        }
        return (
            ReproducibleTrainer(**given)
            if options is None
            else RetrainTrainer(options=options, lr_clips=lr_clips, **given)
        )

    return run(make, plan, material, folder)


class EarlyStopping(TrainerCallback):
    """Ends a training after epochs without a better metric on dev.

    transformers' own counts in itself, and begins anew in a training that goes on from a checkpoint. This one reads the
    history, which checkpoints have.
    """

    def __init__(self, epochs: int, metric: str) -> None:
        self.epochs, self.metric = epochs, metric

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        found = [entry[self.metric] for entry in state.log_history if self.metric in entry]
        best = max(range(len(found)), key=found.__getitem__)  # the first of equal ones
        control.should_training_stop |= len(found) - 1 - best >= self.epochs


def with_teacher(rows: datasets.Dataset, answers: Answers) -> datasets.Dataset:
    """The rows with the teacher's answers as columns; of what it says of each frame of clips also how many there are.

    Beyond these stands nothing that it said, and not all models are given a mask that says where they end.
    """
    if answers.logits.ndim == 3 and any(name in rows.column_names for name in MEDIA):
        rows = rows.add_column("teacher_length", rows["length"][:])
    rows = rows.add_column("teacher_logits", list(answers.logits.reshape(len(rows), -1)))
    if answers.first is None:
        return rows
    return rows.add_column("teacher_first", list(answers.first.reshape(len(rows), -1)))


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float, problem_type: str | None) -> Tensor:
    """How far a student's logits are from its teacher's (Hinton et al., 2015).

    Kullback-Leibler divergence of the classes' probabilities at a temperature T, times T² so that
    the gradient keeps its size; of each label's of a multi-label task; for a regression the
    squared distance, of vectors one less their cosine.

    Args:
        logits, teacher: (B, C), or of other heads what `encoder.answered` makes of them.
    """
    if not len(logits):
        return logits.sum()
    if problem_type == "regression":
        return F.mse_loss(logits.float(), teacher.float())
    if problem_type == "embedding":
        return (1 - F.cosine_similarity(logits.float(), teacher.float())).mean()
    student, wanted = logits.float() / temperature, teacher.float() / temperature
    if problem_type == "multi_label_classification":
        entropy = F.binary_cross_entropy_with_logits(wanted, wanted.sigmoid())
        return temperature**2 * (F.binary_cross_entropy_with_logits(student, wanted.sigmoid()) - entropy)
    divergence = F.kl_div(student.log_softmax(-1), wanted.log_softmax(-1), reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def patient_loss(student: Tensor, teacher: Tensor, normalise: bool) -> Tensor:
    """How far a student's [CLS] vectors are from its teacher's: the mean square over inputs, layers and dimensions.

    BERT-PKD (Sun et al., 2019), equation 7.

    Args:
        student, teacher: (…, S, D), of S layers.
        normalise: vectors are divided by their length first.
    """
    if normalise:
        student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
    return F.mse_loss(student, teacher)


class RetrainTrainer(ReproducibleTrainer):
    """Trains a shortened model on labels and what `options` adds.

    The rows have the columns of `with_teacher` if `options` distils.
    """

    def __init__(self, *, options: RetrainStage, lr_clips: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options, self.lr_clips = options, lr_clips
        self._passes = 1

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = [*dict.fromkeys([*self._signature_columns, *TEACHER])]

    def apart(self) -> tuple[list[torch.nn.Parameter], float]:
        return clip_parameters(self.accelerator.unwrap_model(self.model)), self.lr_clips

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        target: ShortenedModel = self.accelerator.unwrap_model(model)
        configurations = self._configurations(target.elimination)
        self._passes = len(configurations)
        losses = []
        for elimination in configurations:
            with target.eliminating(elimination):
                losses.append(super().training_step(model, dict(inputs), num_items_in_batch))
        return torch.stack(losses).sum()

    def _configurations(self, own: Elimination) -> list[Elimination]:
        """What this step trains: the configuration itself, one on the way to it, or full, itself and one between.

        All follows from the step's number and the seed, so that a run that was stopped goes on alike.
        """
        options, step = self.options, self.state.global_step
        if options.train_once:
            generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + step)
            return [own.keeping_all(), own, drawn_between(own, generator)]
        ramp = options.gradual * self.state.max_steps
        return [between(own, (step + 1) / ramp)] if step + 1 < ramp else [own]

    def answer(self, model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[Any, Tensor]:
        teacher = {name: inputs.pop(name) for name in TEACHER if name in inputs}
        if not model.training:
            return super().answer(model, inputs)
        states = {"output_hidden_states": True} if "teacher_first" in teacher else {}
        outputs, loss = super().answer(model, {**inputs, **states})
        return outputs, self._with_teacher(loss, outputs, inputs, teacher) / self._passes

    def _with_teacher(
        self, loss: Tensor, outputs: Any, inputs: dict[str, Tensor], teacher: dict[str, Tensor]
    ) -> Tensor:
        options = self.options
        if options.distill:
            model: ShortenedModel = self.accelerator.unwrap_model(self.model)
            wanted, counts = teacher["teacher_logits"], None
            if outputs.logits.dim() == 3:  # those are padded to the longest of all rows
                wanted = wanted.unflatten(1, (-1, outputs.logits.shape[2]))[:, : outputs.logits.shape[1]]
                tagged = model.head.loss is tag_loss
                counts = inputs["labels"] != -100 if tagged else inputs.get("attention_mask")
                if "teacher_length" in teacher:
                    lengths = teacher["teacher_length"]
                    counts = torch.arange(wanted.shape[1], device=lengths.device) < lengths[:, None]
            own, wanted = (model.head.choices(one, counts) for one in (outputs.logits, wanted.view_as(outputs.logits)))
            soft = distillation_loss(own, wanted, options.temperature, known_problem(model.config))
            loss = (1 - options.distill) * loss + options.distill * soft
        if "teacher_first" not in teacher:
            return loss
        patient = range(1, len(outputs.hidden_states) - 1) if options.patient else range(0)
        own = firsts(outputs, inputs, [*patient, *([-1] if options.distill_cls else [])]).float()
        wanted, s = teacher["teacher_first"].view_as(own), len(patient)
        if options.distill_cls:
            loss = loss + options.distill_cls * F.mse_loss(own[..., -1, :], wanted[..., -1, :])
        if patient:
            loss = loss + options.patient * patient_loss(own[..., :s, :], wanted[..., :s, :], options.patient_norm)
        return loss
