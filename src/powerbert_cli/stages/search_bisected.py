"""target.max_drop: the strongest elimination whose loss on dev stays within a limit, by bisection."""

import logging
import math
import shutil
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import PowerbertError
from ..settings import TargetSettings
from ..store.artifacts import read_json, write_json
from ..store.stages import Stage
from .inputs import Inputs, Making
from .retrain import Retrain, better, drop_of
from .search_soft import SoftSearch
from .searching import Search
from .targets import Unreachable

log = logging.getLogger(__name__)
_FACTOR = 4.0  # of λ, until one is within the limit and one beyond it
_FIRST_SHARE, _LEAST_SHARE = 0.4, 0.02


@dataclass(frozen=True)
class Trial:
    """A search, and the re-training of what it found; neither runs before its strength is known."""

    search: Search
    retrain: Retrain

    @property
    def soft(self) -> bool:
        """Whether λ is its strength; else a share of the FLOPs is."""
        return isinstance(self.search, SoftSearch)

    def of(self, strength: float) -> "Trial":
        target = replace(self.search.target, max_drop=None, flops=None if self.soft else strength)
        search = replace(self.search, target=target)
        if isinstance(search, SoftSearch):
            search = replace(search, weight=strength)
        start = search if isinstance(self.retrain.start, Search) else self.retrain.start
        return Trial(search, replace(self.retrain, retention=search, start=start))

    def decides(self) -> dict[str, Any]:
        return {"search": self.search.decides(), "retrain": self.retrain.decides()}


@dataclass(frozen=True, kw_only=True)
class BisectedSearch(Search):
    """Tries λ (searcher=soft) or shares of FLOPs (the others); each trial is searched and re-trained.

    A trial is within the limit if that share of paired bootstrap resamples is, against the better
    of the fine-tuned model and the one trained on as long. Trials are stages: finished ones are
    used again. Leaves the best trial's search, and target.json with all that were tried.

    Attributes:
        plain, longer: the plain model as it is, and trained on as long.
    """

    NOTE: ClassVar[str] = "it also makes its trials, up to target.trials, each a search and a re-training"

    plain: Inputs
    longer: Inputs
    trial: Trial

    def make(self, making: Making) -> None:
        """
        Raises:
            PowerbertError: no trial is within the limit.
        """
        baseline = better([making.before[one.identity] for one in (self.plain, self.longer)])
        first = self.trial.search.weight if isinstance(self.trial.search, SoftSearch) else _FIRST_SHARE
        scale = Scale(first, rising=self.trial.soft)
        tried: list[dict[str, Any]] = []
        best: tuple[float, Stage] | None = None
        for number in range(1, self.target.trials + 1):
            strength = scale.next()
            if strength is None:
                break
            about = f"target.max_drop={self.target.max_drop:g}: trial {number}/{self.target.trials}, "
            about += f"{'λ' if self.trial.soft else 'FLOPs'}={strength:.3g}"
            given = {"lambda" if self.trial.soft else "flops": strength}
            try:
                row, search = self._try(making, strength, baseline)
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
            raise PowerbertError(_none_within(self.target, tried))
        shutil.copytree(best[1].folder, making.result, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stage.json"))
        report = {"target": self.target.asked(), "tried": tried}
        if (making.result / "target.json").exists():  # how the trial met its share
            report["share"] = read_json(making.result / "target.json").get("share")
        write_json(making.result / "target.json", report)

    def _try(self, making: Making, strength: float, baseline: Stage) -> tuple[dict[str, Any], Stage]:
        """A search with this λ or under this share of FLOPs, and what is lost after its re-training."""
        trial, limit = self.trial.of(strength), self.target.max_drop
        assert limit is not None
        search, stage = making.run(trial.search), making.run(trial.retrain)
        drop = drop_of(self.metric, baseline, stage, limit)
        row = {
            "retention": list(search.retention.configuration),
            "kept_share": search.retention.kept_share,
            "value": stage.value,
            "baseline": baseline.value,
            "drop": baseline.value - stage.value,
            "interval": [drop.low, drop.high],
            "confidence": drop.confidence,
            "within": drop.confidence >= self.target.confidence,
        }
        return row, search


def _none_within(target: TargetSettings, tried: list[dict[str, Any]]) -> str:
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
        strength: to begin with.
        rising: a larger number eliminates more (λ); else a smaller one does (a share of the cost).
    """

    def __init__(self, strength: float, rising: bool) -> None:
        self.at, self.rising = strength, rising
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
