"""Powers of two out of weights, so that squares of tiny and of huge ones stay in range."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["times_power_of_two", "unit_scaled"]

# Fourth powers of what lies between stay far from both ends of float64's range.
ORDINARY = 100


def unit_scaled(weight: Tensor, *, always: bool = False) -> tuple[Tensor, int]:
    """A float64 tensor divided by a power of two, and its exponent.

    The largest entry of the result lies between a half and one. Entries that are so much smaller
    that they leave the range of float64 lose less than 2^-1074.

    Args:
        weight: finite float64.
        always: divide even where no power of the entries leaves the range.

    Example:
        >>> scaled, exponent = unit_scaled(torch.tensor([3e-200], dtype=torch.float64))
        >>> float(scaled) * 2.0**exponent == 3e-200
        True
    """
    largest = float(weight.abs().max()) if weight.numel() else 0.0
    exponent = math.frexp(largest)[1]
    if largest == 0.0 or (abs(exponent) <= ORDINARY and not always):
        return weight, 0
    # In steps: the power itself may be out of range where the result is not.
    scaled, left = weight, -exponent
    while left:
        step = max(-1000, min(1000, left))
        scaled, left = scaled * torch.tensor(2.0**step, dtype=torch.float64), left - step
    return scaled, exponent


def times_power_of_two(value: float, exponent: int) -> float:
    """``value * 2^exponent``, rounded up; infinite where it is out of range."""
    if value == 0.0 or not math.isfinite(value):
        return value
    try:
        scaled = math.ldexp(value, exponent)
    except OverflowError:
        return math.inf
    # Subnormal results round, and to zero at worst.
    return scaled if scaled > 2.0**-1000 or exponent == 0 else math.nextafter(scaled, math.inf)
