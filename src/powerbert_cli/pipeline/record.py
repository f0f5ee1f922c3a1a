"""What decides the result of a stage: a record, all of whose fields are hashed into its identity.

Contents stand for themselves: rows, weights and tokenizers are named by digests, not by the settings that led to them.
What does not decide is in no record: names of classes and files, devices, threads, workers.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all stages have.

    Attributes:
        versions: of torch, transformers and powerbert.
        train: content of the training rows.
        tokenizer: its content.
        seq_len: ℓ.
    """

    STAGE: ClassVar[str]

    versions: dict[str, str | None]
    train: str
    tokenizer: str
    seq_len: int

    def decides(self) -> dict[str, Any]:
        """Every field, for the stage's identity and manifest."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MeasuredRecord(Record):
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
