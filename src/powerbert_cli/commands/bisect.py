"""target.max_drop: the strongest elimination whose loss on dev stays within a limit, by bisection."""

import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import PowerbertError
from ..settings import SearchSettings
from ..store.artifacts import read_json, write_json
from ..store.retention_file import read as read_retention
from ..store.stages import Stage
from .compare import better, drop_of, value_of
from .pipeline import Pipeline
from .targets import Unreachable

log = logging.getLogger(__name__)
_FACTOR = 4.0  # of λ, until one is within the limit and one beyond it
_FIRST_SHARE, _LEAST_SHARE = 0.4, 0.02


def bisect_drop(
    pipeline: Pipeline, settings: SearchSettings, result: Path, searched: Callable[[Pipeline], Stage]
) -> None:
    """Tries λ (searcher=soft) or shares of FLOPs (the others); each trial is searched and re-trained.

    A trial is within the limit if that share of paired bootstrap resamples is, against the better
    of the fine-tuned model and the one trained on as long. Trials are stages: finished ones are
    used again. Leaves the best trial's search, and target.json with all that were tried.

    Raises:
        PowerbertError: if no trial is within the limit.
    """
    target, soft = settings.target, settings.searcher == "soft"
    assert target.max_drop is not None
    baseline = better(pipeline.baselines())
    scale = Scale(settings.regularizer_weight if soft else _FIRST_SHARE, rising=soft)
    tried: list[dict[str, Any]] = []
    best: tuple[float, Stage] | None = None
    for number in range(1, target.trials + 1):
        strength = scale.next()
        if strength is None:
            break
        about = f"target.max_drop={target.max_drop:g}: trial {number}/{target.trials}, {'λ' if soft else 'FLOPs'}"
        about += f"={strength:.3g}"
        given = {"lambda" if soft else "flops": strength}
        try:
            row, search = _trial(pipeline, settings, strength, searched, baseline)
        except Unreachable as error:
            log.info("%s: %s", about, error)
            tried.append({**given, "unreachable": str(error), "within": False})
            scale.tell(within=False)
            continue
        tried.append({**given, **row})
        log.info(
            "%s keeps %.1f%%, drop %.4f (%.0f%% of resamples within): %s",
            *(about, 100 * row["kept_share"], row["drop"], 100 * row["confidence"]),
            "within" if row["within"] else "beyond",
        )
        scale.tell(row["within"])
        if row["within"] and (best is None or row["kept_share"] < best[0]):
            best = row["kept_share"], search
    if best is None:
        raise PowerbertError(_none_within(settings, tried))
    shutil.copytree(best[1].folder, result, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stage.json"))
    report = {"target": target.asked(), "tried": tried}
    if (result / "target.json").exists():  # how the trial met its share
        report["share"] = read_json(result / "target.json").get("share")
    write_json(result / "target.json", report)


def _trial(
    pipeline: Pipeline,
    settings: SearchSettings,
    strength: float,
    searched: Callable[[Pipeline], Stage],
    baseline: Path,
) -> tuple[dict[str, Any], Stage]:
    """A search with this λ or under this share of FLOPs, and what is lost after its re-training."""
    target, soft = settings.target, settings.searcher == "soft"
    assert target.max_drop is not None
    changes: dict[str, Any] = {"target": replace(target, max_drop=None, flops=None if soft else strength)}
    if soft:
        changes["regularizer_weight"] = strength
    trial = Pipeline(replace(settings, **changes), share=pipeline)
    search = searched(trial)
    retention = read_retention(search.folder / "retention.json")
    retrained = trial.retrained(retention, trial.start_after(search)).folder
    drop = drop_of(settings.task.metric, baseline, retrained, target.max_drop)
    row = {
        "retention": list(retention.configuration),
        "kept_share": retention.kept_share,
        "value": value_of(retrained),
        "baseline": value_of(baseline),
        "drop": value_of(baseline) - value_of(retrained),
        "interval": [drop.low, drop.high],
        "confidence": drop.confidence,
        "within": drop.confidence >= target.confidence,
    }
    return row, search


def _none_within(settings: SearchSettings, tried: list[dict[str, Any]]) -> str:
    target = settings.target
    made = [row for row in tried if "drop" in row]
    if not made:
        return f"target.max_drop={target.max_drop}: no trial could be made; set target.trials higher"
    least = min(made, key=lambda row: row["drop"])
    return (
        f"target.max_drop={target.max_drop}: none of {len(made)} trials is within it with confidence "
        f"{target.confidence}; the nearest lost {least['drop']:.4f}; train longer, allow more, or set more "
        "target.trials (finished ones are used again)"
    )


class Scale:
    """Strengths of elimination to try: outwards by a factor until the limit lies between two, then between them.

    Args:
        first: to begin with.
        rising: a larger number eliminates more (λ); else a smaller one does (a share of the cost).
    """

    def __init__(self, first: float, rising: bool) -> None:
        self.at, self.rising = first, rising
        self.within: float | None = None
        self.beyond: float | None = None
        self._started = False

    def next(self) -> float | None:
        """The next one; None if there is nothing left to try."""
        if not self._started:
            self._started = True
        elif self.within is not None and self.beyond is not None:
            self.at = math.sqrt(self.within * self.beyond)
            if abs(math.log(self.within / self.beyond)) < 0.02:
                return None
        elif self.within is not None:
            self.at = self.at * _FACTOR if self.rising else max(_LEAST_SHARE, self.at / 2)
        else:
            self.at = self.at / _FACTOR if self.rising else (1 + self.at) / 2
        if self.at in (self.within, self.beyond):
            return None
        return self.at

    def tell(self, within: bool) -> None:
        """Whether the last one was within the limit."""
        if within:
            self.within = self.at
        else:
            self.beyond = self.at
