"""The fine-tuned model's answers on the training rows, which re-trainings distil."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from safetensors.numpy import load_file, save_file

from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..store.stages import Stage
from ..tasks.batches import Answers
from .inputs import Inputs, Making, Source

log = logging.getLogger(__name__)
NAME = "answers.safetensors"


@dataclass(frozen=True, kw_only=True)
class Teacher(Inputs):
    """Made once, for all re-trainings from it.

    Attributes:
        start: the fine-tuned model.
        states: hidden states whose [CLS] vectors are kept too, 0 for the embeddings, -1 for the last.
    """

    STAGE: ClassVar[str] = "teacher"

    start: Source
    precision: str
    states: tuple[int, ...]

    def make(self, making: Making) -> None:
        context, host = making.context, making.host(self.start)
        log.info("distill: %s answers the training rows", context.settings.start_model.label)
        whole = ShortenedModel(host, plain(self.seq_len, layers_of(host.config)))
        answers = context.answers(whole, context.material.train, self.precision, states=self.states)
        given = {"logits": answers.logits, "first": answers.first}
        save_file({name: array for name, array in given.items() if array is not None}, making.result / NAME)


def answers_of(stage: Stage) -> Answers:
    found = load_file(stage.folder / NAME)
    return Answers(found["logits"], found.get("first"))
