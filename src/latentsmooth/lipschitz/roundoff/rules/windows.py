"""Sums, means and norms over windows of pixels that do not overlap."""

from __future__ import annotations

import math

from torch import nn

from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule
from latentsmooth.lipschitz.rules.rounding import add_up, divide_up, multiply_up, root_up
from latentsmooth.orthogonal import HaarLowPass, HaarWavelet, L2NormPool2d, ScaledAvgPool2d

__all__ = ["centring_rounding", "mean_rounding", "norm_rounding"]


@register_rounding_rule(HaarLowPass)
def low_pass(module: HaarLowPass, step: Step) -> float:
    """Sums of blocks; dividing and multiplying by powers of two is exact."""
    return step.of_input(4.0**module.levels - 1)


@register_rounding_rule(HaarWavelet)
def wavelet(module: HaarWavelet, step: Step) -> float:
    """Two sums a level, each of which rounds vectors as long as the input, up to exact factors."""
    return step.of_input(2 * module.levels)


@register_rounding_rule(ScaledAvgPool2d)
def scaled_average(module: ScaledAvgPool2d, step: Step) -> float:
    """Means of windows times a whole number."""
    return mean_rounding(step, module.factor**2, further=1, factor=float(module.factor))


@register_rounding_rule(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def average(module: nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d, step: Step) -> float:
    """Means of windows, padding included."""
    sizes, axes = module.kernel_size, step.inputs.ndim - 2
    window = sizes**axes if isinstance(sizes, int) else math.prod(sizes)
    return mean_rounding(step, window)


@register_rounding_rule(nn.AdaptiveAvgPool2d)
def global_average(module: nn.AdaptiveAvgPool2d, step: Step) -> float:
    """Means over whole sides."""
    return mean_rounding(step, step.inputs.numel() // max(1, step.outputs.numel()))


@register_rounding_rule(L2NormPool2d)
def norms(module: L2NormPool2d, step: Step) -> float:
    """Norms of windows, in units of the largest entry."""
    return norm_rounding(step, math.prod(module.kernel_size))


def mean_rounding(step: Step, window: int, *, further: int = 0, factor: float = 1.0) -> float:
    """Sums of so many entries, divided: side by side, or by a product with a rounded inverse.

    The mean of absolute values over windows has the norm ``1 / sqrt(window)``.
    """
    size = multiply_up(divide_up(1.0, math.sqrt(window) * (1 - 2**-51)), factor)
    return step.of_input(window + 2 + further, factor=size)


def centring_rounding(step: Step, entries: int) -> float:
    """Minus the mean of so many entries, which the rounding of the mean shifts alike."""
    return add_up(step.of_input(entries + 4), step.of_output(2))


def norm_rounding(step: Step, window: int) -> float:
    """Roots of sums of squares, all relative, but for squares that underflow.

    An entry's division, square, and sum count half under the root; the root, a difference and a
    product follow. What underflows, or is added before the root to keep it differentiable, moves
    a norm by the root of so many smallest numbers times the largest entry.
    """
    lost = root_up(multiply_up(2.0 * (window + 2), step.arithmetic.smallest))
    return add_up(step.of_output(window // 2 + 6), step.each(multiply_up(2 * lost, step.norm)))
