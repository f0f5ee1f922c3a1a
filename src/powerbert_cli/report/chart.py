"""Geometry of the pictures that stand in a page itself, as SVG: axes within a metric's range, names beside points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..tasks.metrics import range_of

WIDTH, HEIGHT = 360.0, 250.0  # a phone's width, so that a text is never drawn smaller there than it is here
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 8.0, 12.0, 36.0
_TEXT, _LETTER = 11.0, 6.4  # of a label, height and mean width of a letter
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
Box = tuple[float, float, float, float]


def ends(values: Sequence[float], metric: str | None = None) -> tuple[float, float]:
    """Where an axis begins and ends: a little beyond the values, and never beyond what the metric can be."""
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05 * (abs(high) or 1.0)
    low, high = low - margin, high + margin
    return (low, high) if metric is None else clipped(low, high, metric)


def clipped(low: float, high: float, metric: str) -> tuple[float, float]:
    """An axis's ends within the range of a metric."""
    least, most = range_of(metric)
    return max(low, least), min(high, most)


@dataclass(frozen=True)
class Frame:
    """Places of values in a picture of `WIDTH` by `HEIGHT`.

    Attributes:
        x, y: both ends of each axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across, up = ((v - low) / (high - low) for v, (low, high) in ((x, self.x), (y, self.y)))
        right = _LEFT + (WIDTH - _LEFT - _RIGHT) * across
        return round(right, 1), round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * up, 1)

    def drawn(self, x_label: str, y_label: str) -> dict[str, Any]:
        """What the template draws of the frame."""
        box = {"left": _LEFT, "right": WIDTH - _RIGHT, "top": _TOP, "bottom": HEIGHT - _BOTTOM}
        ticks = {
            "x": [{"at": self.at(tick, self.y[0])[0], "text": f"{tick:.4g}"} for tick in _ticks(self.x)],
            "y": [{"at": self.at(self.x[0], tick)[1], "text": f"{tick:.4g}"} for tick in _ticks(self.y)],
        }
        return {"size": (WIDTH, HEIGHT), "box": box, "ticks": ticks, "x_label": x_label, "y_label": y_label}


def _ticks(axis: tuple[float, float]) -> list[float]:
    from .agg import MaxNLocator

    return [
        float(tick) for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(*axis) if axis[0] <= tick <= axis[1]
    ]


def beside(places: Sequence[tuple[float, float]], names: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Labels beside points, none over another label or a point; the first have the first choice.

    A name that nowhere has room is a letter in the picture, and stands in the legend.

    Args:
        places: of the points. names: theirs.

    Returns:
        Of each point text, x, y and, where its label stands off, the ends of a line to it; the legend.
    """
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    labels: list[dict[str, Any]] = []
    legend: dict[str, str] = {}
    for place, name in zip(places, names, strict=True):
        label = _placed(place, name, taken)
        if label is None:
            letter = _LETTERS[len(legend) % len(_LETTERS)]
            legend[letter], label = name, _placed(place, letter, taken) or _label(place, letter, *_around(4)[0])[1]
        labels.append(label)
    return labels, legend


def _around(letters: int) -> list[tuple[float, float]]:
    """Offsets of a label's lower left corner from its point, the nearest first."""
    wide = letters * _LETTER
    near = [(10.0, 4.0), (-10 - wide, 4.0), (-wide / 2, -10.0), (-wide / 2, 19.0)]
    far = [(x, y) for away in (17, 30, 44) for y in (-away, away + 6) for x in (8.0, -8 - wide, -wide / 2)]
    return near + far


def _placed(place: tuple[float, float], name: str, taken: list[Box]) -> dict[str, Any] | None:
    for across, down in _around(len(name)):
        box, label = _label(place, name, across, down)
        inside = box[0] >= 2 and box[2] <= WIDTH - 2 and box[1] >= 1 and box[3] <= HEIGHT - _BOTTOM
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return label
    return None


def _label(place: tuple[float, float], name: str, across: float, down: float) -> tuple[Box, dict[str, Any]]:
    x, y = place[0] + across, place[1] + down
    wide = len(name) * _LETTER
    far = abs(down) not in (4.0, 10.0, 19.0)
    line = (*place, round(min(max(place[0], x), x + wide), 1), round(y - (_TEXT if down > 0 else 0), 1))
    label = {"text": name, "x": round(x, 1), "y": round(y, 1), "line": line if far else None}
    return (x, y - _TEXT, x + wide, y + 2), label


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
