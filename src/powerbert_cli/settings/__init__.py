"""Typed settings of each verb, made from the composed config before any work is done.

A field's `doc` is what `powerbert VERB --help` prints; defaults stand in `conf/` alone. What
can be known to be wrong from the config itself is refused here.
"""

from .bench import BENCH_MODELS, BenchSettings, ExportSettings, ShortenedSettings, SweepSettings
from .elimination import RetrainSettings, RetrainStage, SearchSettings
from .rules import SettingsError
from .task import ModelSettings, TaskSettings
from .training import FinetuneSettings, StageSettings, TrainingSettings

__all__ = [
    "AUTO",
    "BENCH_MODELS",
    "RENAMED",
    "VERBS",
    "BenchSettings",
    "ExportSettings",
    "FinetuneSettings",
    "ModelSettings",
    "RetrainSettings",
    "RetrainStage",
    "SearchSettings",
    "SettingsError",
    "ShortenedSettings",
    "StageSettings",
    "SweepSettings",
    "TaskSettings",
    "TrainingSettings",
]

AUTO = "auto"  # seq_len and lr_soft: settled from the data before the settings are typed
# `lambda` is the user's key and a keyword of Python.
RENAMED = {"lambda": "regularizer_weight"}

VERBS: dict[str, type[FinetuneSettings]] = {
    "finetune": FinetuneSettings,
    "search": SearchSettings,
    "retrain": RetrainSettings,
    "bench": BenchSettings,
    "sweep": SweepSettings,
    "export": ExportSettings,
}
