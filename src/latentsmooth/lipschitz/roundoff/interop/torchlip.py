"""Layers of deel-torchlip 1.0.5 that are no plain linear maps or transposed convolutions."""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch

from latentsmooth.lipschitz.roundoff.arithmetic import length
from latentsmooth.lipschitz.roundoff.rules.dense import convolution
from latentsmooth.lipschitz.roundoff.rules.windows import centring_rounding, mean_rounding
from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_up

__all__: list[str] = []

_activation: Any = importlib.import_module("deel.torchlip.modules.activation")
_conv: Any = importlib.import_module("deel.torchlip.modules.conv")
_normalization: Any = importlib.import_module("deel.torchlip.modules.normalization")
_pooling: Any = importlib.import_module("deel.torchlip.modules.pooling")
_unconstrained: Any = importlib.import_module("deel.torchlip.modules.unconstrained")

register_rounding_rule(
    _conv.FrobeniusConv2d,
    _conv.SpectralConv1d,
    _conv.SpectralConv2d,
    _unconstrained.PadConv1d,
    _unconstrained.PadConv2d,
)(convolution)


@register_rounding_rule(
    _activation.FullSort, _activation.GroupSort, _activation.GroupSort2, _activation.MaxMin
)
def sorting(module: Any, step: Step) -> float:
    """Exact, but for the layer's factor."""
    if not step.arithmetic.is_ordinary(_factor(module)):
        return math.inf
    return 0.0 if _factor(module) == 1.0 else step.of_output(2)


@register_rounding_rule(_activation.LPReLU)
def leaky(module: Any, step: Step) -> float:
    """A product with a slope that may have been clamped to a rounded limit."""
    return step.of_output(2)


@register_rounding_rule(_activation.HouseHolder)
def householder(module: Any, step: Step) -> float:
    """A reflection by sines and cosines of 4 units in the last place.

    On the wrong side of the mirror a vector lies only where its side is lost in rounding.
    """
    return step.of_input(64)


@register_rounding_rule(_pooling.ScaledAvgPool2d, _pooling.ScaledAdaptiveAvgPool2d)
def scaled_average(module: Any, step: Step) -> float:
    """Means times the root of the window's size, and times the layer's factor."""
    window = step.inputs.numel() // max(1, step.outputs.numel())
    sizes = getattr(module, "kernel_size", None)
    if sizes is not None:
        window = sizes**2 if isinstance(sizes, int) else math.prod(sizes)
    if not step.arithmetic.is_ordinary(_factor(module)):
        return math.inf
    factor = multiply_up(root_up(float(window)), _factor(module), 1 + 2**-50)
    return mean_rounding(step, window, further=4, factor=factor)


@register_rounding_rule(_pooling.ScaledL2NormPool2d, _pooling.ScaledAdaptativeL2NormPool2d)
def norms_of_windows(module: Any, step: Step) -> float:
    """Powers of one half of means of squares, which may underflow, times the window's size."""
    sizes = getattr(module, "kernel_size", step.inputs.shape[-2:])
    window = sizes**2 if isinstance(sizes, int) else math.prod(sizes)
    if (
        not step.arithmetic.is_ordinary(_factor(module))
        or not step.norm**2 < step.arithmetic.largest
    ):
        return math.inf
    lost = root_up(multiply_up(float(window) * (window + 8), step.arithmetic.smallest))
    return add_up(step.of_output(window // 2 + 24), step.each(2 * lost * _factor(module)))


@register_rounding_rule(_normalization.LayerCentering)
def layer_centring(module: Any, step: Step) -> float:
    """Minus a mean, plus a constant."""
    axes = (module.dim,) if isinstance(module.dim, int) else tuple(module.dim)
    return centring_rounding(step, math.prod(step.inputs.shape[axis] for axis in axes))


@register_rounding_rule(_normalization.BatchCentering, _normalization.BatchLipNorm)
def batch_scaling(module: Any, step: Step) -> float:
    """``(x - m) s + b`` with mean and scale in force."""
    with torch.no_grad():
        mean = module._get_mean_and_update(training=False)
        scale = abs(float(module.get_scaling(training=False)))
    positions = root_up(step.outputs.numel() / max(1, mean.numel()))
    sizes = add_up(step.norm, multiply_up(length(mean), positions))
    if not step.arithmetic.is_ordinary(scale):
        return math.inf
    scaled = multiply_up(step.arithmetic.gamma(3), scale, sizes)
    return add_up(scaled, step.of_output(2), step.underflow(4))


@register_rounding_rule(_normalization.ScaleBiasLayer)
def scale_and_shift(module: Any, step: Step) -> float:
    """``x s + b``."""
    scale = abs(float(module.scalar))
    if not step.arithmetic.is_ordinary(scale):
        return math.inf
    scaled = multiply_up(step.arithmetic.gamma(3), scale, step.norm)
    return add_up(scaled, step.of_output(2), step.underflow(4))


def _factor(module: Any) -> float:
    return abs(float(module._coefficient_lip))
