"""A training whose numbers are no longer finite stops at once: all it could still give is a plausible lie."""

import math
from typing import Any

import numpy as np

from ..errors import PowerbertError


class Diverged(PowerbertError):
    """A loss, logit or mass that is NaN or infinite."""

    exit_code = 1


def check_finite(values: Any, what: str, way_out: str) -> None:
    """
    Args:
        values: a number, or an array of them.
        what: their name and place, as "the loss of step 3/24".
        way_out: what to lower.

    Raises:
        Diverged
    """
    array = np.asarray(values, dtype=np.float64)
    if np.isfinite(array).all():
        return
    said = "nan" if math.isnan(array[~np.isfinite(array)].flat[0]) else "infinite"
    raise Diverged(f"{what} is {said}; {way_out}" if array.ndim == 0 else f"{what} are {said} in part; {way_out}")
