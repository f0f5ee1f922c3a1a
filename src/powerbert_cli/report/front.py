"""Metric against speed: which results of a sweep no other beats, and which methods lie above which."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from ..bench.ratio import mean_of_ratios
from ..bench.table import UNPACKED

Point = dict[str, Any]
Speed = Callable[[Point], float]


def padding_of(result: Point) -> str | None:
    """The padding that a sweep lists first: length-sorted, as a careful user has it, else the next best timed."""
    timed = (padding for padding in UNPACKED if result.get(f"speedup_{padding}") is not None)
    return next(timed, None)


def speed_of(result: Point) -> float:
    """The speed-up that counts, see `bench.choice.headline`; what a sweep chooses by. 0 where nothing counts.

    Of a result from before there was one choice: against transformers' model at `padding_of`.
    """
    if "speed" in result:
        return 0.0 if result["speed"] is None else float(result["speed"])
    padding = padding_of(result)
    return 0.0 if padding is None else float(result[f"speedup_{padding}"])


def mean_speed(speeds: Iterable[float]) -> float:
    """The geometric mean over seeds; 0 where one of them has no speed that counts."""
    known = list(speeds)
    return mean_of_ratios(known)[0] if all(speed > 0 for speed in known) else 0.0


def pareto_front(results: list[Point], speed: Speed = speed_of) -> list[Point]:
    """The finished results that no other one beats in both metric and speed."""
    good = [result for result in results if result["status"] == "ok"]
    return [one for one in good if not any(_beats(other, one, speed) for other in good)]


def _beats(one: Point, other: Point, speed: Speed) -> bool:
    """Whether it is at least as good and as fast, and better in one of both."""
    better, faster = one["value"] - other["value"], speed(one) - speed(other)
    return bool(better >= 0 and faster >= 0 and (better > 0 or faster > 0))


def curves_of(results: list[Point]) -> list[str]:
    """The methods of a sweep that compares several, in the order of the jobs."""
    return list(dict.fromkeys(result["curve"] for result in results if result.get("curve")))


def points_of(good: list[Point], speed: Speed = speed_of) -> list[Point]:
    """Of each setting the means over its seeds: curve, setting, value, speed; and the lowest and highest value."""
    table = pd.DataFrame([{"curve": None, **one, "speed": speed(one)} for one in good])
    groups = table.groupby(["curve", "setting"], sort=False, dropna=False)
    values = groups["value"]
    found = groups[["value"]].mean().assign(speed=groups["speed"].agg(mean_speed), low=values.min(), high=values.max())
    found = found.reset_index()
    return [{"status": "ok", **{str(name): value for name, value in row.items()}} for row in found.to_dict("records")]


def dominance(good: list[Point]) -> list[str]:
    """In words: whose points are on the front, and of which curve another has a better mean for every point.

    By the means over seeds alone: intervals are not in it, and the words say so.
    """
    names, points = curves_of(good), points_of(good)
    if len(names) < 2:
        return []

    def speed(point: Point) -> float:
        return float(point["speed"])

    front = pareto_front(points, speed)
    by_curve = {name: [point["setting"] for point in front if point["curve"] == name] for name in names}
    found = "; ".join(f"{name} ({', '.join(settings)})" for name, settings in by_curve.items() if settings)
    sentences = [f"by the means, intervals apart, on the front of metric against speed: {found}"]
    own = {name: [point for point in points if point["curve"] == name] for name in names}
    for name in names:
        above = [
            other
            for other in names
            if other != name and all(any(_beats(one, point, speed) for one in own[other]) for point in own[name])
        ]
        if above:
            better = ", and by one of ".join(above)
            sentences.append(f"by the means, intervals apart, every point of {name} is beaten by one of {better}")
    return sentences
