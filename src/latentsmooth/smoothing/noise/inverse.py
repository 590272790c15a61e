"""A normal number rounded to a lattice, by inversion: its distribution as a table of integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentsmooth.errors import ConfigurationError

__all__ = ["SMALLEST_RATIO", "InverseTable", "inverse_table"]

SMALLEST_RATIO, LARGEST_RATIO = 2.0**10, 2.0**20
REACH = 9.4
"""Standard deviations beyond which a level has less than half a count."""
_WORD = 63
_GUIDE = 17
_MASS_ERROR = 2e-14
"""Relative error of a level's mass in double precision: 7e-15 of the exponent, 4 ulp of exp."""


@dataclass(frozen=True, slots=True, eq=False)
class InverseTable:
    """The sizes of lattice points in order of growing size, as cumulative counts out of ``2**63``.

    Attributes:
        thresholds: ``(levels,)`` int64, increasing: of a uniform ``u`` below ``2**63``, the size in
            steps is the number of thresholds that are at most ``u``.
        guide: ``(2**17 + 1,)`` int32: the size at every multiple of ``2**46``.
        total_variation: upper bound of the distance of the distribution drawn from that of the
            rounded normal number.
    """

    thresholds: Tensor
    guide: Tensor
    total_variation: float


@lru_cache(maxsize=4)
def inverse_table(ratio: float) -> InverseTable:
    r"""The table of ``round(ratio * n)`` for a standard normal ``n``.

    The mass of level ``k`` is the integral of the normal density over a cell of width
    ``1 / ratio`` round ``x = k / ratio``, by its Taylor series:

    .. math:: 2h\,\varphi(x) \left(1 + \frac{(x^2 - 1) h^2}{6}
        + \frac{(x^4 - 6x^2 + 3) h^4}{120} + \dots\right), \quad h = \frac{1}{2\,\mathrm{ratio}}.

    Half the sum of all errors, relative ones of the masses and those of rounding to counts, is
    the total variation; what is left over or missing goes to level 0 and counts once more.

    Args:
        ratio: standard deviation over step, from ``2**10`` to ``2**20``.

    Raises:
        ConfigurationError: for another ratio.

    Example:
        >>> inverse_table(2.0**12).total_variation < 1e-13
        True
    """
    if not SMALLEST_RATIO <= ratio <= LARGEST_RATIO:
        raise ConfigurationError(f"wanted sigma / step from 2**10 to 2**20, got {ratio}")
    counts = _counts(ratio)
    rounding = len(counts) * 2.0 ** -(_WORD + 2)
    total = int(counts.sum())  # below 2**64 by far
    counts[0] += np.uint64((1 << _WORD) - total) if total <= 1 << _WORD else np.uint64(0)
    if total > 1 << _WORD:
        counts[0] -= np.uint64(total - (1 << _WORD))
    cumulative = counts.cumsum()
    thresholds = cumulative[cumulative < np.uint64(1 << _WORD)].astype(np.int64)
    places = np.arange(1 << _GUIDE, dtype=np.int64) << (_WORD - _GUIDE)
    guide = np.append(np.searchsorted(thresholds, places, side="right"), len(thresholds))
    return InverseTable(
        thresholds=torch.from_numpy(thresholds),
        guide=torch.from_numpy(guide.astype(np.int32)),
        total_variation=2 * (_MASS_ERROR / 2 + rounding) + 2.0**-_WORD,
    )


def _counts(ratio: float) -> NDArray[np.uint64]:
    """Mass of both signs of every level, in parts of ``2**63``, rounded to the nearest."""
    x = np.arange(math.ceil(REACH * ratio) + 1, dtype=np.float64) / ratio
    half, square = 0.5 / ratio, x * x
    series = (square - 1) * (half**2 / 6) + ((square - 6) * square + 3) * (half**4 / 120)
    mass = np.exp(-square / 2) * (1 + series) * (4 * half / math.sqrt(2 * math.pi))
    mass[0] /= 2  # zero has no sign
    rounded: NDArray[np.uint64] = np.floor(mass * 2.0**_WORD + 0.5).astype(np.uint64)
    return rounded
