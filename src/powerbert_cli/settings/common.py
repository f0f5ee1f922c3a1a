"""Settings that every verb with a task has: rows, batches, machine, folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..method.names import KERNELS
from .rules import Part, SettingsError, at_least_one, key, one_of, positive
from .task import TaskSettings

PRECISIONS = ("fp32", "bf16", "fp16")
TRACKERS = ("tensorboard", "mlflow", "wandb")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(kw_only=True)
class ThreadsSettings:
    threads: int | None = key("CPU threads; null leaves PyTorch's choice")

    def __post_init__(self) -> None:
        at_least_one("runtime.threads", self.threads)


@dataclass(kw_only=True)
class RuntimeSettings(ThreadsSettings):
    """What changes speed and comfort only."""

    threads: int | None = key("CPU threads; null is one for a hidden size below 256, else PyTorch's choice")
    workers: int = key("processes that prepare batches")
    log_seconds: float = key("seconds between progress lines when the output is no terminal")
    save_minutes: float | None = key("minutes between checkpoints within an epoch; null is one for each epoch only")
    significance: str = key(
        "what scores significance: torch (PyTorch's operations), triton (GPU kernel without the n × n matrices), or "
        "auto (triton on a GPU); attention itself is PyTorch's in any case"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.save_minutes is not None:
            positive("runtime.save_minutes", self.save_minutes)
        one_of("runtime.significance", self.significance, KERNELS)


@dataclass(kw_only=True)
class Common(Part):
    """Also what a verb answers that has no part which knows better."""

    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = PRECISIONS
    predict_test = False
    fresh = False

    task: TaskSettings = key("task (group): see the list below")
    seq_len: int = key("ℓ: longest input in word-pieces; auto: by the rows", "; longer ones are cut", common=True)
    batch_size: int = key("examples in a batch", common=True)
    seed: int = key("seed of initial weights, data order and dropout", common=True)
    device: str = key("auto, cpu or cuda", common=True)
    precision: str = key("fp32, bf16 or fp16; bench and export also int8", common=True)
    output_dir: str = key("where run directories and finished stages go", common=True)
    tracking: str | None = key(
        "experiment tracker that follows trainings and gets the results: tensorboard, mlflow or wandb; null: none"
    )
    runtime: RuntimeSettings = key("")

    def verify(self) -> None:
        for name in ("seq_len", "batch_size"):
            at_least_one(name, getattr(self, name))
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed={self.seed} must be in 0 … 2³²-1")
        if self.seq_len < 8:
            raise SettingsError(f"seq_len={self.seq_len} must be at least 8: [CLS], [SEP] and some words have to fit")
        one_of("precision", self.precision, self.PRECISIONS_HERE)
        one_of("device", self.device, DEVICES)
        if self.tracking is not None:
            one_of("tracking", self.tracking, TRACKERS)

    @property
    def checkpoint_dir(self) -> Path | None:
        """The given plain or compressed classifier that stages start from."""
        return None

    @property
    def shortened_dir(self) -> Path | None:
        """The given shortened model, which is taken as it is."""
        return None

    @property
    def precisions(self) -> tuple[str, ...]:
        """All that models run in."""
        return (self.precision,)

    @property
    def removes(self) -> bool:
        """Whether layers, heads or feed-forward neurons are removed."""
        return False

    @property
    def quantises(self) -> bool:
        """Whether linear layers get fewer bits."""
        return False

    @property
    def takes_retention(self) -> bool:
        """Whether a retention configuration can be given."""
        return False

    @property
    def writes_graph(self) -> bool:
        """Whether a file is written that an inference engine loads."""
        return False

    @property
    def times_this_machine(self) -> bool:
        """Whether what is found depends on times measured here."""
        return False
