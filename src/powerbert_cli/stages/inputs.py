"""What decides the result of a stage: a frozen record of its inputs, whose hash is its identity.

Contents stand for themselves: rows, weights and tokenizers are named by digests, not by the settings that led to them;
a stage before this one is named by its identity, so that nothing has to run for it. What does not decide is in no
record: names of classes and files, devices, threads, workers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from transformers import PreTrainedModel

from ..method.elimination import Elimination, to_keys
from ..models.model_dir import fingerprint
from ..store.retention_file import RetentionFile
from ..store.stages import Stage, identity_of

if TYPE_CHECKING:
    from .context import Context


@dataclass(frozen=True)
class Given:
    """A model directory that is there already, known by its content."""

    model_dir: Path

    @cached_property
    def identity(self) -> str:
        return fingerprint(self.model_dir)


@dataclass(frozen=True, kw_only=True)
class Inputs(ABC):
    """What all stages have.

    Attributes:
        versions: of torch, transformers and powerbert.
        train: content of the training rows.
        tokenizer: content of what turns rows into inputs.
        seq_len: ℓ.
    """

    STAGE: ClassVar[str]
    NOTE: ClassVar[str] = ""  # what a plan says of it

    versions: dict[str, str | None]
    train: str
    tokenizer: str
    seq_len: int

    def decides(self) -> dict[str, Any]:
        """Every field, for the stage's identity and manifest."""
        return {field.name: _as_decided(getattr(self, field.name)) for field in fields(self)}

    @cached_property
    def identity(self) -> str:
        return identity_of({"stage": self.STAGE, **self.decides()})

    @property
    def before(self) -> list["Inputs"]:
        """The stages that have to be finished first."""
        return [value for field in fields(self) if isinstance(value := getattr(self, field.name), Inputs)]

    @abstractmethod
    def make(self, making: "Making") -> None:
        """Writes the stage's artifacts into `making.result`."""


Source = Given | Inputs  # of a model to start from


@dataclass(frozen=True, kw_only=True)
class MeasuredInputs(Inputs):
    """A stage that ends with a metric on dev.

    Attributes:
        dev: content of the dev rows, which choose the best epoch and are measured on.
        kind, classes: of the task; 0 classes of a regression.
        metric: that is reported. best_by: what the best epoch is chosen by.
        training: settings of the training that bear on its result; of a stage that does not train its precision.
    """

    dev: str
    kind: str
    classes: int
    metric: str
    best_by: str
    batch_size: int
    seed: int
    training: dict[str, Any]


@dataclass(frozen=True)
class Making:
    """What the maker of a stage works with.

    Attributes:
        before: the finished stages that it asked for, by identity.
        result: folder of the artifacts. checkpoints: folder that a later process goes on from.
        run: has another stage made, where only a result tells which.
    """

    context: "Context"
    before: Mapping[str, Stage]
    result: Path
    checkpoints: Path
    run: Callable[[Inputs], Stage]

    def model_dir(self, source: Source) -> Path:
        return source.model_dir if isinstance(source, Given) else self.before[source.identity].model_dir

    def host(self, source: Source) -> PreTrainedModel:
        """The classifier of a stage, read from disk."""
        return self.context.host(self.model_dir(source))


def _as_decided(value: Any) -> Any:
    """A field as JSON has it."""
    if isinstance(value, Given | Inputs):
        return value.identity
    if isinstance(value, RetentionFile):
        return to_keys(value.elimination)
    if isinstance(value, Elimination):
        return to_keys(value)
    if hasattr(value, "decides"):
        return value.decides()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
