"""Settings of a re-training: the retention configuration, given or searched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rules import SettingsError, key
from .search import Retention, RetentionKind


@dataclass(kw_only=True)
class RetentionSettings(RetentionKind):
    path: str | None = key("a retention.json written by search", common=True)
    lengths: Any = key("ℓ_1 … ℓ_L as a list, e.g. [153,125,111]; or full", common=True)
    fractions: list[float] | None = key("f_1 … f_L of a relative retention, e.g. [0.75,0.5,0.2]", common=True)
    thresholds: list[float] | None = key("θ_1 … θ_L of strategy=threshold, on significance over its mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("path", "lengths", "fractions", "thresholds") if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(f'retention.{name}' for name in given)} are given; give one of them")
        if self.lengths not in (None, "full") and not isinstance(self.lengths, list):
            raise SettingsError(f"retention.lengths={self.lengths!r} must be a list such as [153,125,111], or full")
        if self.lengths not in (None, "full") and self.kind == "relative":
            raise SettingsError("retention.kind=relative takes retention.fractions, not retention.lengths")
        if self.path and not Path(self.path).is_file():
            raise SettingsError(f"retention.path={self.path} is not a file; search writes it as retention.json")


@dataclass(kw_only=True)
class Retraining(Retention):
    retention: RetentionSettings = key("retention configuration (group): searched (default), full, paper/…")

    @property
    def keeps_word_vectors(self) -> bool:
        return self.retention.lengths == "full"

    @property
    def takes_retention(self) -> bool:
        return True

    def check_strategy(self, strategy: str) -> None:
        """Raises a SettingsError where the given configuration is not of that strategy."""
        if self.retention.thresholds is not None and strategy != "threshold":
            raise SettingsError(f"retention.thresholds needs strategy=threshold, not strategy={strategy}")
        if self.retention.lengths not in (None, "full") and strategy == "threshold":
            raise SettingsError("strategy=threshold takes retention.thresholds, not retention.lengths")
