"""Rounding toward safety of a bound computed in float64."""

from __future__ import annotations

import math

__all__ = ["norm_from_square"]

FLOAT64_UNIT = 2.0**-53


def norm_from_square(square: float, *, terms: int) -> float:
    """The root of an upper bound of a squared norm, pushed up by its own rounding error.

    A sum of ``terms`` products loses at most ``terms`` units in the last place to first order;
    doubled for the sums over lags and the root.

    Args:
        square: computed upper bound of the squared norm.
        terms: length of the longest sum behind it.
    """
    return math.sqrt(square * (1 + 2 * (terms + 16) * FLOAT64_UNIT))
