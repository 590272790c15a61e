"""Activations made of exponentials: rounded as the mathematical library rounds.

Its functions (exp, expm1, log1p, tanh, erf) are taken to be within 4 units in the last place, 8
unit roundoffs; those that PyTorch uses on CPUs and GPUs state less.
"""

from __future__ import annotations

import math

from torch import nn

from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up

__all__ = ["exponential_rounding", "relative_rounding", "times_bounded_rounding"]

OUT_OF_RANGE = 2.0**10
"""Smallest normal numbers by which ``x exp(x)`` is off where ``exp(-x)`` overflows."""


@register_rounding_rule(nn.LogSigmoid, nn.Sigmoid, nn.SiLU, nn.Softsign, nn.Tanh)
def no_cancellation(module: nn.Module, step: Step) -> float:
    """Sums of numbers of one sign, products and quotients of at most two function values."""
    return relative_rounding(step)


@register_rounding_rule(nn.GELU, nn.Tanhshrink)
def times_bounded(module: nn.Module, step: Step) -> float:
    """``x`` times a number between 0 and 1 that is off by a dozen units, or ``x - tanh x``."""
    return times_bounded_rounding(step)


@register_rounding_rule(nn.Hardsigmoid, nn.Hardswish)
def piecewise(module: nn.Module, step: Step) -> float:
    """``(x + 3) / 6`` between 0 and 1, and ``x`` times that."""
    if isinstance(module, nn.Hardswish):
        return step.of_input(8)
    return add_up(step.each(8 * step.unit), step.underflow(8))


@register_rounding_rule(nn.CELU, nn.ELU, nn.SELU)
def exponential(module: nn.CELU | nn.ELU | nn.SELU, step: Step) -> float:
    """``alpha (exp(x) - 1)`` below zero: a difference of numbers of at most one."""
    if isinstance(module, nn.SELU):
        return exponential_rounding(step, 1.76)  # its own constants together
    if not step.arithmetic.is_ordinary(module.alpha):
        return math.inf
    return exponential_rounding(step, abs(module.alpha))


def relative_rounding(step: Step) -> float:
    """Every entry within two dozen units."""
    return add_up(step.of_output(24), step.underflow(OUT_OF_RANGE))


def times_bounded_rounding(step: Step) -> float:
    """Every entry within two dozen units of the input's."""
    return add_up(step.of_input(24), step.underflow(OUT_OF_RANGE))


def exponential_rounding(step: Step, size: float) -> float:
    """Every entry within eight units, and within two dozen of a size."""
    cancelled = multiply_up(24 * step.unit, size, 1 + 2**-10)
    return add_up(step.of_output(8), step.each(cancelled), step.underflow(24))
