"""The fine-tuned model's answers on the training rows, which re-trainings distil."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from safetensors.numpy import load_file, save_file

from ..tasks.batches import Answers
from .finetune import finetuned, whole_model
from .record import Record
from .work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TeacherRecord(Record):
    """
    Attributes:
        start: content of the fine-tuned model.
        states: hidden states whose [CLS] vectors are kept too, 0 for the embeddings, -1 for the last.
    """

    STAGE: ClassVar[str] = "teacher"

    start: str
    precision: str
    states: tuple[int, ...]


def teacher(work: Work, states: tuple[int, ...]) -> Answers:
    """Made once, for all re-trainings from it.

    Args:
        states: see `TeacherRecord`.
    """
    precision = work.settings.training.precision
    record = TeacherRecord(**work.common(), start=finetuned(work).identity, precision=precision, states=states)
    stage = work.ensure(record, partial(_make, work, record))
    found = load_file(stage.folder / "answers.safetensors")
    return Answers(found["logits"], found.get("first"))


def _make(work: Work, record: TeacherRecord, result: Path, checkpoints: Path) -> None:
    log.info("distill: %s answers the training rows", work.settings.start_model.label)
    answers = work.answers(whole_model(work), work.material.train, record.precision, states=record.states)
    given = {"logits": answers.logits, "first": answers.first}
    save_file({name: array for name, array in given.items() if array is not None}, result / "answers.safetensors")
