"""The fine-tuned model: given as a model directory, or the stage of these settings."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoConfig

from ..encoder.families import layers_of
from ..encoder.loading import host_config, other_head
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..settings import FinetuneSettings, ModelSettings
from ..store.model_dir import fingerprint
from ..store.stages import Stage
from .record import MeasuredRecord
from .trained import train
from .work import Start, Work


@dataclass(frozen=True, kw_only=True)
class FinetuneRecord(MeasuredRecord):
    """
    Attributes:
        start: content of the weights, or the config of random ones; a model of the hub by name and revision.
        new_head: whether a classifier to start from gets a head of its own, as its classes are called otherwise.
        stage: epochs and learning rate.
    """

    STAGE: ClassVar[str] = "finetune"

    start: Any
    new_head: bool
    stage: dict[str, Any]


def finetune(settings: FinetuneSettings, work: Work | None = None) -> Stage:
    """Fine-tunes a classifier, or finds that it is done."""
    stage = finetuned(work or Work(settings), settings.fresh).stage
    assert stage is not None
    return stage


def finetuned(work: Work, fresh: bool = False) -> Start:
    """The fine-tuned model: the one that was given, or the stage of these settings."""
    if work.start is None:
        work.start = _start(work, fresh)
    return work.start


def _start(work: Work, fresh: bool) -> Start:
    settings = work.settings
    if settings.checkpoint_dir is not None:
        return Start(settings.checkpoint_dir)
    record = FinetuneRecord(
        **work.measured(settings.finetune),
        start=_model_identity(settings.model),
        new_head=other_head(settings.model, settings.task.kind, settings.task.label_names) is not None,
        stage=settings.finetune.decides(),
    )
    stage = work.ensure(record, partial(_make, work), fresh)
    return Start(stage.model_dir, stage)


def _make(work: Work, result: Path, checkpoints: Path) -> None:
    settings, host = work.settings, work.new_host()
    whole = ShortenedModel(host, plain(settings.seq_len, layers_of(host.config)))
    train(work, whole, "finetune", settings.finetune, result, checkpoints)


def _model_identity(model: ModelSettings) -> Any:
    if model.name_or_path is None:
        return {"config": model.config, "vocab_size": model.vocab_size}
    folder = Path(model.name_or_path).expanduser()
    if folder.is_dir():
        return fingerprint(folder)
    return {"hub": model.name_or_path, "revision": getattr(host_config(model), "_commit_hash", None)}


def layers(work: Work) -> int:
    """L of the fine-tuned model."""
    return layers_of(AutoConfig.from_pretrained(finetuned(work).model_dir))


def whole_model(work: Work) -> ShortenedModel:
    """The fine-tuned model with extract layers that keep everything."""
    return ShortenedModel(work.host(finetuned(work).model_dir), plain(work.settings.seq_len, layers(work)))
