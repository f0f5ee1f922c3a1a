"""What all searches have: what they start from, what they shall reach, and what they leave."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..method.elimination import Elimination
from ..settings import TargetSettings
from ..store.retention_file import RetentionFile
from .inputs import Making, MeasuredInputs, Source
from .targets import Hosts


@dataclass(frozen=True, kw_only=True)
class Search(MeasuredInputs):
    """
    Attributes:
        start: the compressed model, or the fine-tuned one where nothing is removed.
        whole: the fine-tuned model, of whose cost a target is a share.
        elimination: how word-vectors will be eliminated; nothing is dropped yet.
        target: what was asked for in place of λ.
        measured_on: device, processor, threads and precision, where times decide.
    """

    STAGE: ClassVar[str] = "search"

    start: Source
    whole: Source
    elimination: Elimination
    target: TargetSettings
    measured_on: list[Any] | None

    @property
    def regularizer_weight(self) -> float | None:
        """λ, where it was given."""
        return None

    def hosts(self, making: Making) -> Hosts:
        searched = making.host(self.start)
        same = self.whole.identity == self.start.identity
        return Hosts(searched, searched if same else making.host(self.whole))

    def write_retention(
        self,
        making: Making,
        elimination: Elimination,
        masses: tuple[float, ...] | None = None,
        kept: tuple[int, ...] | None = None,
    ) -> RetentionFile:
        """retention.json of what was found."""
        settings = making.context.settings
        retention = RetentionFile(
            elimination,
            kept,
            task=settings.task.name,
            model=settings.start_model.label,
            regularizer_weight=self.regularizer_weight,
            masses=masses,
            provenance=self.decides(),
        )
        retention.write(making.result / "retention.json")
        return retention
