"""What is assumed of floating-point arithmetic, and the sizes of vectors in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError
from latentsmooth.lipschitz.rules.rounding import divide_up, multiply_up, root_up, widen
from latentsmooth.lipschitz.scaled import times_power_of_two, unit_scaled

__all__ = ["Arithmetic", "length"]

SUPPORTED = (torch.float64, torch.float32)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    r"""The standard model of a binary format.

    .. math:: fl(a \circ b) = (a \circ b)(1 + \delta) + \eta, \qquad |\delta| \le u,

    for sums, products, quotients and square roots. ``|eta|`` is at most the smallest normal
    number, and not zero only where a result is subnormal, whether the hardware keeps subnormal
    results or flushes them to zero.

    Attributes:
        unit: the unit roundoff ``u``.
        smallest: the smallest normal number.
        largest: the largest finite number.

    Source:
        N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, section 2.2.
    """

    unit: float
    smallest: float
    largest: float

    @staticmethod
    def of(dtype: torch.dtype) -> Arithmetic:
        """The arithmetic of a dtype.

        Raises:
            ConfigurationError: for dtypes other than float64 and float32.
        """
        if dtype not in SUPPORTED:
            raise ConfigurationError(f"wanted torch.float64 or torch.float32, got {dtype}")
        limits = torch.finfo(dtype)
        return Arithmetic(limits.eps / 2, limits.tiny, limits.max)

    def gamma(self, roundings: float) -> float:
        r"""Relative error of a product of so many factors ``1 + delta`` or their inverses.

        .. math:: \gamma_n = n u / (1 - n u),

        infinite where ``n u`` is one or more.

        Example:
            >>> Arithmetic.of(torch.float64).gamma(0), Arithmetic.of(torch.float32).gamma(2.0**24)
            (0.0, inf)
        """
        relative = roundings * self.unit
        if relative >= 1:
            return math.inf
        return divide_up(relative, math.nextafter(1 - relative, 0) if relative else 1.0)

    def is_ordinary(self, *constants: float | Tensor) -> bool:
        """Whether constants, and their inverses, are normal numbers or zero.

        Others are rounded to the dtype with any relative error, or flushed to zero.

        Example:
            >>> narrow = Arithmetic.of(torch.float32)
            >>> narrow.is_ordinary(0.0, -3.0), narrow.is_ordinary(1e-40), narrow.is_ordinary(3e38)
            (True, False, False)
        """
        for constant in constants:
            sizes = torch.as_tensor(constant).detach().to("cpu", torch.float64).abs()
            within = (sizes >= self.smallest) & (sizes <= 1 / self.smallest)
            if not bool((within | (sizes == 0)).all()):
                return False
        return True

    def gammas(self, roundings: Tensor) -> Tensor:
        """`gamma` of many counts, in float64, rounded up."""
        relative = roundings.double() * self.unit
        exact = torch.where(relative < 1, relative / (1 - relative), math.inf)
        return exact * (1 + 2**-50)


def length(values: Tensor) -> float:
    """The l2 norm of a tensor's entries, rounded up.

    Example:
        >>> 5.0 <= length(torch.tensor([3.0, 4.0])) < 5.0 + 1e-12
        True
    """
    flat, exponent = unit_scaled(values.detach().to("cpu", torch.float64).flatten())
    squares = float(flat.square().sum())
    if squares == 0.0:
        return 0.0
    norm = root_up(widen(squares, roundings=flat.numel() + 1))
    return times_power_of_two(multiply_up(norm, 1 + 2**-51), exponent)
