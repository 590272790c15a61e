"""Maps of single coordinates and channels that need few roundings."""

from __future__ import annotations

import math

import torch
from torch import nn

from latentsmooth.lipschitz.roundoff.arithmetic import length
from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_up
from latentsmooth.orthogonal import (
    Absolute,
    Center,
    ChannelNormalize,
    ChannelScale,
    FullSort,
    GroupSort,
    HouseholderActivation,
    MaxMin,
)

__all__: list[str] = []

BatchNorm = (
    nn.BatchNorm1d
    | nn.BatchNorm2d
    | nn.BatchNorm3d
    | nn.InstanceNorm1d
    | nn.InstanceNorm2d
    | nn.InstanceNorm3d
)


@register_rounding_rule(
    Absolute,
    FullSort,
    GroupSort,
    MaxMin,
    nn.AlphaDropout,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.FeatureAlphaDropout,
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
)
def exact(module: nn.Module, step: Step) -> float:
    """Signs, comparisons and sorts round nothing (dropout does nothing in evaluation)."""
    return 0.0


@register_rounding_rule(nn.Hardtanh)
def hard_tanh(module: nn.Hardtanh, step: Step) -> float:
    """The limits may have been rounded to the dtype."""
    largest = max(abs(module.min_val), abs(module.max_val))
    exactly = all(_is_held(limit, step) for limit in (module.min_val, module.max_val))
    if exactly:
        return 0.0
    return add_up(step.each(multiply_up(step.unit, largest)), step.underflow(1))


@register_rounding_rule(Center, ChannelScale, nn.PReLU)
def one_rounding(module: nn.Module, step: Step) -> float:
    """One sum or product an entry with a constant of the dtype."""
    return step.of_output(1)


@register_rounding_rule(nn.LeakyReLU)
def leaky(module: nn.LeakyReLU, step: Step) -> float:
    """A product with a number that is rounded to the dtype first."""
    return step.of_output(2) if step.arithmetic.is_ordinary(module.negative_slope) else math.inf


@register_rounding_rule(nn.Softshrink)
def soft_shrink(module: nn.Softshrink, step: Step) -> float:
    """A difference with a number that is rounded to the dtype first."""
    shift = step.each(multiply_up(2 * step.unit, abs(module.lambd)))
    return add_up(step.of_output(1), shift, step.underflow(1))


@register_rounding_rule(ChannelNormalize)
def channel_normalize(module: ChannelNormalize, step: Step) -> float:
    """A difference and a quotient, which may be a product with a rounded inverse."""
    return step.of_output(3) if step.arithmetic.is_ordinary(module.std) else math.inf


@register_rounding_rule(HouseholderActivation)
def householder(module: HouseholderActivation, step: Step) -> float:
    """``z + b v`` with ``b = 2 max(0, -v . z)``, for normals ``v`` of length one or nearly so.

    ``b`` is off by two units of ``2 |v| |z|``, its product with ``v`` by one more of that length,
    and the sum by one of its own, at most three times as long as ``z``.
    """
    squares = module.normals.detach().to("cpu", torch.float64).square().sum(dim=0)
    return step.of_input(12, factor=max(1.0, float(squares.max()) * (1 + 2**-50)))


@register_rounding_rule(
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)
def batch_norm(module: BatchNorm, step: Step) -> float:
    """``x a + (b - m a)`` or ``(x - m) a + b``, with ``a`` computed by at most eight roundings.

    Kernels choose either. Both are off by at most twelve units of ``|x| a + |m| a + |b|``.
    """
    if module.running_mean is None or module.running_var is None:
        return math.inf
    variance = module.running_var.detach().to("cpu", torch.float64) + module.eps
    if module.eps != 0 and not step.arithmetic.is_ordinary(module.eps):
        return math.inf
    if not bool((variance >= step.arithmetic.smallest).all()):
        return math.inf
    scale = variance.rsqrt() * (1 + 2**-48)
    if module.weight is not None:
        scale = scale * module.weight.detach().to("cpu", torch.float64).abs()
    mean = module.running_mean.detach().to("cpu", torch.float64).abs()
    shift = mean * scale
    if module.bias is not None:
        shift = shift + module.bias.detach().to("cpu", torch.float64).abs()
    positions = root_up(step.outputs.numel() / max(1, shift.numel()))
    constant = multiply_up(length(shift), positions, 1 + 2**-48)
    sizes = add_up(multiply_up(float(scale.max()), step.norm), constant)
    # The scale itself may underflow, times the input minus the mean.
    reach = add_up(step.norm, multiply_up(length(mean), positions))
    lost = multiply_up(16 * step.arithmetic.smallest, reach)
    return add_up(multiply_up(step.arithmetic.gamma(16), sizes), lost, step.underflow(16))


def _is_held(value: float, step: Step) -> bool:
    return float(torch.tensor(value, dtype=step.inputs.dtype)) == value
