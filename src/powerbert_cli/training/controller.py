"""λ adapted in the middle of a search so that a target is met at its end."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

RAMP = 0.7  # share of the steps in which the goal falls to the target; in the rest r settles there
PROPORTIONAL, INTEGRAL = 10.0, 600.0  # of log λ: per unit of share, and per unit of share times progress
HORIZON = 0.05  # of the progress: λ answers to where the share will be, as r goes on falling for a while
LIMIT = math.log(1e3)  # λ stays within this factor of its start: what added up beyond it would have to be undone first


@dataclass
class Controller:
    """A proportional-integral controller of log λ; the goal falls to the target along a straight ramp.

    Attributes:
        share: the cost of masses (L,) over the plain model's.
        beginning: the share before the first step, where the ramp begins.
        target: wanted share.
        start: λ at the first step.
        integral: what has added up of log λ so far.
        last: the share at the step before.
    """

    share: Callable[[Tensor], Tensor]
    beginning: float
    target: float
    start: float
    integral: float = 0.0
    last: float | None = None

    def goal(self, progress: float) -> float:
        """The share that is wanted at this part of the search, progress in [0, 1]."""
        return self.beginning + (self.target - self.beginning) * min(1.0, progress / RAMP)

    def update(self, masses: Tensor, step: int, steps: int) -> dict[str, float]:
        """λ for the next step, with what it follows from: share and goal.

        Args:
            step: 1 … steps.
        """
        share, goal = float(self.share(masses.detach())), self.goal(step / steps)
        fall = 0.0 if self.last is None else share - self.last
        self.last, error = share, share + HORIZON * steps * fall - goal
        self.integral = _within_limit(self.integral + INTEGRAL * error / steps)
        exponent = _within_limit(self.integral + PROPORTIONAL * error)
        return {"lambda": self.start * math.exp(exponent), "share": share, "goal": goal, "integral": self.integral}


def _within_limit(exponent: float) -> float:
    return min(max(exponent, -LIMIT), LIMIT)
