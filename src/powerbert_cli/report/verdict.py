"""What a sweep found, in one sentence: the last line of its output, and the first of its page."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

TOY = "synthetic"  # the task that is embedded, see conf/task/synthetic.yaml
_TOY = "the built-in toy task has short texts, where elimination gains little: this only shows that everything runs"


def verdict(best: dict[str, Any] | None, good: Sequence[dict[str, Any]]) -> str:
    """One sentence.

    Args:
        best: the setting that was chosen, see `settings_table.best_within`.
        good: the finished jobs, of one task.
    """
    toy = f"; {_TOY}" if any(result.get("task") == TOY for result in good) else ""
    if best is None:
        limit = good[0]["max_drop"]
        return f"No setting stays within {limit:g} of the baseline: try a smaller λ or a milder target{toy}."
    return f"{best['setting']} {_speed(best)}{_doubt(best)} and {_loss(best)}{toy}."


def _speed(best: dict[str, Any]) -> str:
    speed = best.get("speed")
    if speed is None or pd.isna(speed) or not speed:
        return "has no speed that counts"
    low, high = best.get("speed_low"), best.get("speed_high")
    known = low is not None and high is not None and not pd.isna(low) and not pd.isna(high)
    interval = f" (95% interval {low:.2f} to {high:.2f})" if known else ""
    return f"is {speed:.2f} times as fast as the best plain model{interval}"


def _doubt(best: dict[str, Any]) -> str:
    return ", in times not to be trusted," if best.get("doubt") else ""


def _loss(best: dict[str, Any]) -> str:
    """A gain is no negative loss, so its interval is turned round too."""
    drop, low, high = float(best["drop"]), best.get("drop_low"), best.get("drop_high")
    gains = drop < 0
    said = f"{'gains' if gains else 'loses'} {abs(drop):.4f} {best['metric']} on dev"
    if low is None or high is None:
        return said
    low, high = (-high, -low) if gains else (low, high)
    return f"{said} (95% interval {low:.4f} to {high:.4f})"
