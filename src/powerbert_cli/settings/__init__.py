"""Typed settings, made from the composed config before any work is done.

A field's `key` says what help prints of it; defaults stand in `conf/` alone. What can be known to be wrong from the
config itself is refused here. A verb's class is composed of parts, one for each concern; it stands in `verbs/`.
"""

from .bench import BENCH_MODELS, CALIBRATED, ENGINE_PRECISIONS
from .compress import CompressOptions
from .predict import STANDARD, PredictSettings
from .rules import SettingsError
from .search import RetrainStage, TargetSettings
from .task import ModelSettings, TaskSettings
from .training import StageSettings, TrainingSettings

AUTO = "auto"  # seq_len and lr_soft: settled from the data before the settings are typed

__all__ = [
    "AUTO",
    "BENCH_MODELS",
    "CALIBRATED",
    "ENGINE_PRECISIONS",
    "STANDARD",
    "CompressOptions",
    "ModelSettings",
    "PredictSettings",
    "RetrainStage",
    "SettingsError",
    "StageSettings",
    "TargetSettings",
    "TaskSettings",
    "TrainingSettings",
]
