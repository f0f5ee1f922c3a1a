"""Typed settings of each verb, made from the composed config before any work is done.

A field's `doc` is what `powerbert VERB --help` prints; defaults stand in `conf/` alone. What
can be known to be wrong from the config itself is refused here.
"""

from .bench import BENCH_MODELS, ENGINE_PRECISIONS, BenchSettings, ExportSettings, ShortenedSettings, SweepSettings
from .check import CheckSettings
from .compress import CompressOptions, CompressSettings
from .finetune import FinetuneSettings, StageSettings, TrainingSettings
from .predict import STANDARD, PredictSettings
from .retrain import RetrainSettings
from .rules import SettingsError
from .search import RetrainStage, SearchSettings, TargetSettings
from .study import StudySettings
from .task import ModelSettings, TaskSettings

AUTO = "auto"  # seq_len and lr_soft: settled from the data before the settings are typed
# `lambda` is the user's key and a keyword of Python.
RENAMED = {"lambda": "regularizer_weight"}

VERBS: dict[str, type[FinetuneSettings] | type[PredictSettings]] = {
    "check": CheckSettings,
    "finetune": FinetuneSettings,
    "compress": CompressSettings,
    "search": SearchSettings,
    "retrain": RetrainSettings,
    "bench": BenchSettings,
    "sweep": SweepSettings,
    "export": ExportSettings,
    "predict": PredictSettings,
    "study": StudySettings,
}
