"""The fine-tuned model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..models.loading import host_config, other_head
from ..models.model_dir import fingerprint
from ..settings import ModelSettings, StageSettings
from .context import Context
from .inputs import Making, MeasuredInputs
from .trained import train


@dataclass(frozen=True, kw_only=True)
class Finetune(MeasuredInputs):
    """
    Attributes:
        start: content of the weights, or the config of random ones; a model of the hub by name and revision.
        new_head: whether a classifier to start from gets a head of its own, as its classes are called otherwise.
        stage: epochs and learning rate.
    """

    STAGE: ClassVar[str] = "finetune"

    start: Any
    new_head: bool
    stage: StageSettings

    @classmethod
    def of(cls, context: Context) -> "Finetune":
        settings = context.settings
        return cls(
            **context.measured(),
            start=_content(settings.model),
            new_head=other_head(settings.model, settings.task.of_kind) is not None,
            stage=replace(settings.finetune, epochs=0) if context.taught else settings.finetune,
        )

    def make(self, making: Making) -> None:
        host = making.context.new_host()
        train(making, ShortenedModel(host, plain(self.seq_len, layers_of(host.config))), "finetune", self.stage)


def _content(model: ModelSettings) -> Any:
    if model.name_or_path is None:
        return {"config": model.config, "vocab_size": model.vocab_size}
    folder = Path(model.name_or_path).expanduser()
    if folder.is_dir():
        return fingerprint(folder)
    return {"hub": model.name_or_path, "revision": getattr(host_config(model), "_commit_hash", None)}
