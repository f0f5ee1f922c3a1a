"""Which contenders are timed where there is no time for all, and how long that takes."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .timing import MIN_ROUNDS, PAUSE, WARM_UP_PASSES, Contender, whole_ones

_EXACT = "fp32"
Answering = Callable[[Contender], float]  # seconds that measuring a contender's answers should take


class Allowance:
    """bench.max_seconds, over all points.

    Args:
        seconds: for warm-up, rounds and answers of all of them.
    """

    def __init__(self, seconds: float, points: int) -> None:
        self.points, self.spent, self.seconds = points, 0.0, seconds
        self._start = self._given = 0.0

    def begin(self) -> None:
        """Gives the next point an equal share of what is left."""
        self._start = time.monotonic()
        self._given = max(0.0, self.seconds - self.spent) / max(1, self.points)

    @property
    def left(self) -> float:
        """Seconds of the point's share."""
        return self._given - (time.monotonic() - self._start)

    def end(self) -> None:
        self.spent += time.monotonic() - self._start
        self.points -= 1

    def would_do(self, needed: float) -> int:
        """Seconds with which this point, if it needs so much from now on, and those after it leave nothing out."""
        used = time.monotonic() - self._start
        return math.ceil(self.spent + (used + needed) * max(1, self.points))


@dataclass(frozen=True)
class Schedule:
    """
    Attributes:
        round_s: seconds of a round.
        answers_s: seconds of measuring answers.
        least, most: rounds, and least_s, most_s the seconds of all that is still to be done with these.
    """

    round_s: float
    answers_s: float
    least: int
    most: int
    least_s: float
    most_s: float

    def __str__(self) -> str:
        rounds = f"{self.least} rounds" if self.least == self.most else f"{self.least} to {self.most} rounds"
        times = dict.fromkeys(map(duration, (self.least_s, self.most_s)))
        return f"a round takes about {duration(self.round_s)}, {rounds} with the answers {' to '.join(times)}"


def schedule(
    contenders: Sequence[Contender], left: float, rounds: int, answering: Answering, warm_ups: int = 0
) -> Schedule:
    """What timing these should take.

    Args:
        contenders: with `expected_s`.
        left: seconds that it may take, the least number of rounds apart.
        rounds: that are wanted.
        warm_ups: passes of each that are still to be done.
    """
    round_s = sum(c.expected_s + PAUSE for c in contenders)
    answers_s = sum({(c.model, c.engine, c.precision): answering(c) for c in contenders}.values())
    fixed, least = warm_ups * round_s + answers_s, min(MIN_ROUNDS, rounds)
    possible = int((left - fixed) / round_s) if round_s else rounds
    most = max(least, min(rounds, possible))
    return Schedule(round_s, answers_s, least, most, fixed + least * round_s, fixed + most * round_s)


def plan(
    contenders: Sequence[Contender], left: float, rounds: int, answering: Answering = lambda c: 0.0
) -> tuple[list[Contender], list[Contender], float]:
    """
    Those that decide come first, and are timed whatever the time. Then engines, precisions and paddings with all
    their models, so that each has what it is compared with: those of the deciding ones first, then the fastest.

    Args:
        contenders: after `probe`.
        left: seconds for warm-up, rounds and answers.
        rounds, answering: see `schedule`.

    Returns:
        Those that are timed; those that there is no time for; the seconds with which there would be.
    """

    def seconds(of: Sequence[Contender]) -> float:
        return schedule(of, left, rounds, answering, WARM_UP_PASSES).least_s

    def turn(group: list[Contender]) -> tuple[bool, float]:
        return not any(id(c) in chosen for c in group), seconds(group)

    chosen = {id(c): c for c in deciding(contenders)}
    groups: dict[tuple[str, str, str], list[Contender]] = {}
    for c in contenders:
        groups.setdefault((c.engine, c.precision, c.padding), []).append(c)
    for group in sorted(groups.values(), key=turn):
        more = {**chosen, **{id(c): c for c in group}}
        if seconds(list(more.values())) <= left:
            chosen = more
    timed, left_out = ([c for c in contenders if (id(c) in chosen) is wanted] for wanted in (True, False))
    return timed, left_out, seconds(contenders)


def deciding(contenders: Sequence[Contender]) -> list[Contender]:
    """The fastest of transformers' models, of this encoder's that eliminate nothing, and of the shortened ones: of all,
    and of those in float32, which count whatever their answers are."""
    plain = [c for c in contenders if c.model == "plain"]
    shortened = [c for c in contenders if c.shortened]
    groups = [plain, whole_ones(contenders), shortened]
    groups += [[c for c in group if c.precision == _EXACT] for group in groups]
    found = [min(group, key=lambda c: c.expected_s) for group in groups if group]
    return list({id(c): c for c in found or contenders[:1]}.values())


def duration(seconds: float) -> str:
    """0.4 s, 90 s, 22 min, 3.1 h"""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
