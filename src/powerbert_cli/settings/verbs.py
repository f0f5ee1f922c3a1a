"""The settings of each verb: parts, and the checks that take several of them."""

from dataclasses import dataclass
from typing import Any, ClassVar

from .bench import BENCH_PRECISIONS, Benching
from .check import Checking
from .common import Common
from .compress import Compressing, FlopsTarget
from .export import Exporting
from .model import Model, ModelDir
from .predict import PredictSettings
from .retrain import Retraining
from .rules import SettingsError, key
from .search import Retention, Searching
from .study import Studying
from .task import ModelSettings
from .training import Answering, Making, Training


@dataclass(kw_only=True)
class Trained(Training, Model, Common):
    """What every verb has that trains, or starts from what was trained."""

    def verify(self) -> None:
        self.check_rows(self.task, self.batch_size)

    @property
    def precisions(self) -> tuple[str, ...]:
        return (self.precision, self.training.precision)


@dataclass(kw_only=True)
class FinetuneVerb(Answering, Making, Trained):
    def verify(self) -> None:
        self.check_answers(self.task)


@dataclass(kw_only=True)
class CompressVerb(Making, Compressing, ModelDir, Trained):
    target: FlopsTarget = key("")

    def verify(self) -> None:
        if self.quantises:
            raise SettingsError(
                "compress does not train, and compress.bits, compress.act_bits and compress.sparsity are of a "
                "re-training: give them to powerbert retrain (retrain.epochs=0 only measures)"
            )
        if not self.removes:
            raise SettingsError(
                "compress removes nothing: give target.flops=0.6, compress.ffn=0.4, compress.heads=0.5 or "
                "compress.layers=6"
            )

    @property
    def share_to_reach(self) -> float | None:
        return self.target.flops


@dataclass(kw_only=True)
class CheckVerb(Checking, Retention, Searching, Compressing, ModelDir, Trained):
    def verify(self) -> None:
        self.check_stack(self.compress)


@dataclass(kw_only=True)
class SearchVerb(Making, Retention, Searching, Compressing, ModelDir, Trained):
    def verify(self) -> None:
        self.check_stack(self.compress)

    @property
    def weights_do(self) -> bool:
        return self.searcher != "soft"  # one model for many budgets


@dataclass(kw_only=True)
class RetrainVerb(Answering, Making, Retraining, Searching, Compressing, ModelDir, Trained):
    def verify(self) -> None:
        self.check_answers(self.task)
        self.check_strategy(self.strategy)
        self.check_stack(self.compress)


@dataclass(kw_only=True)
class StudyVerb(Studying, Retraining, Searching, Compressing, ModelDir, Trained):
    def verify(self) -> None:
        self.check_strategy(self.strategy)
        self.check_stack(self.compress)


@dataclass(kw_only=True)
class BenchVerb(Benching, Retraining, Searching, Compressing, ModelDir, Trained):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = BENCH_PRECISIONS
    TAKES_SHORTENED: ClassVar[bool] = True

    def verify(self) -> None:
        self.check_strategy(self.strategy)
        self.check_stack(self.compress)
        self.check_lengths(self.seq_len)
        if self.shortened_dir is not None and (self.removes or self.quantises):
            raise SettingsError(
                f"model_dir={self.model_dir} is a finished model, compress.* is for one that this command makes; give "
                "one of them"
            )


@dataclass(kw_only=True)
class SweepVerb(Benching, Retraining, Searching, Compressing, ModelDir, Trained):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = BENCH_PRECISIONS
    NOT_SHORTENED: ClassVar[str] = "a sweep shortens models of its own: time this with bench"

    curve: str | None = key(
        "in the sweep's table and picture, the curve that a job is a point of; null: the method, or what is removed"
    )

    def verify(self) -> None:
        self.check_strategy(self.strategy)
        self.check_stack(self.compress)
        self.check_lengths(self.seq_len)


@dataclass(kw_only=True)
class ExportVerb(Exporting, ModelDir, Common):
    PRECISIONS_HERE: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    TAKES_SHORTENED: ClassVar[bool] = True

    def verify(self) -> None:
        if self.model_dir is None:
            raise SettingsError("model_dir is not given; export takes a finished model: model_dir=RUN/model")
        self.check_precision(self.precision)

    @property
    def start_model(self) -> ModelSettings:
        """The model that is taken, with its own tokenizer. It runs no code of its own."""
        assert self.model_dir is not None
        return ModelSettings(
            name="model_dir",
            name_or_path=self.model_dir,
            config=None,
            tokenizer=None,
            vocab_size=None,
            trust_remote_code=False,
        )


# What functions ask for: the settings of any verb that has the parts they read.
BenchSettings = BenchVerb | SweepVerb
StudySettings = StudyVerb
RetrainSettings = RetrainVerb | StudyVerb | BenchSettings
CheckSettings = CheckVerb
SearchSettings = SearchVerb | CheckVerb | RetrainSettings
CompressSettings = CompressVerb | SearchSettings
FinetuneSettings = FinetuneVerb | CompressSettings
ExportSettings = ExportVerb
ShortenedSettings = BenchSettings

VERBS: dict[str, type[Any]] = {
    "check": CheckVerb,
    "finetune": FinetuneVerb,
    "compress": CompressVerb,
    "search": SearchVerb,
    "retrain": RetrainVerb,
    "bench": BenchVerb,
    "sweep": SweepVerb,
    "export": ExportVerb,
    "predict": PredictSettings,
    "study": StudyVerb,
}
