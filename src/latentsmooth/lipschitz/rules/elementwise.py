"""Maps that act on each coordinate, or sort and reflect them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import register_rule
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

# Steepest slopes, rounded up. x Phi(x) bends at x = sqrt(2), where its slope is
# (1 + erf(1)) / 2 + 1 / (e sqrt(pi)); the tanh approximation was searched with a known curvature.
GELU_SLOPE = {"none": 1.128904145186, "tanh": 1.13}
# x sigmoid(x) bends where x tanh(x / 2) = 2, at 2.39935..., and its slope there is (2 + x) / 4.
SILU_SLOPE = 1.099839320129
# The product of the two constants of arXiv 1706.02515, met just below zero.
SELU_SLOPE = 1.758099340848


@register_rule(
    Absolute,
    Center,
    FullSort,
    GroupSort,
    MaxMin,
    nn.AlphaDropout,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.FeatureAlphaDropout,
    nn.Hardtanh,
    nn.Identity,
    nn.LogSigmoid,
    nn.ReLU,
    nn.ReLU6,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
)
def nonexpansive(module: nn.Module) -> float:
    """Shifts, sorts and slopes of at most one (dropout does nothing in evaluation)."""
    return 1.0


@register_rule(nn.LeakyReLU)
def leaky(module: nn.LeakyReLU) -> float:
    """The steeper of the two slopes."""
    return max(abs(module.negative_slope), 1.0)


@register_rule(nn.PReLU)
def parametric_leaky(module: nn.PReLU) -> float:
    """The steepest of the learned slopes and one."""
    return max(_largest(module.weight), 1.0)


@register_rule(nn.ELU)
def exponential_linear(module: nn.ELU) -> float:
    """Slope ``alpha exp(x)`` below zero, one above."""
    return max(abs(module.alpha), 1.0)


@register_rule(nn.CELU)
def continuous_exponential_linear(module: nn.CELU) -> float:
    """Slope ``exp(x / alpha)`` below zero, one above."""
    if not module.alpha > 0:
        raise UnverifiedModule(
            f"CELU with alpha={module.alpha} grows without bound below zero; use alpha > 0"
        )
    return 1.0


@register_rule(nn.SELU)
def scaled_exponential_linear(module: nn.SELU) -> float:
    """The slope just below zero."""
    return SELU_SLOPE


@register_rule(nn.GELU)
def gelu(module: nn.GELU) -> float:
    """The steepest slope of the exact or of the approximate curve."""
    return GELU_SLOPE[module.approximate]


@register_rule(nn.SiLU)
def silu(module: nn.SiLU) -> float:
    """The steepest slope."""
    return SILU_SLOPE


@register_rule(nn.Sigmoid)
def sigmoid(module: nn.Sigmoid) -> float:
    """The logistic function's steepest slope."""
    return 0.25


@register_rule(nn.Hardsigmoid)
def hard_sigmoid(module: nn.Hardsigmoid) -> float:
    """The slope between -3 and 3, a sixth, which may have been rounded to float32."""
    return 1 / 6 * (1 + 2**-23)


@register_rule(nn.Hardswish)
def hard_swish(module: nn.Hardswish) -> float:
    """``x (x + 3) / 6`` between -3 and 3, steepest at 3."""
    return 1.5


@register_rule(ChannelNormalize)
def channel_normalize(module: ChannelNormalize) -> float:
    """Division by a standard deviation: the smallest one counts."""
    smallest = float(module.std.double().abs().min())
    return 1.0 / smallest * (1 + 2**-51) if smallest else math.inf


@register_rule(ChannelScale)
def channel_scale(module: ChannelScale) -> float:
    """The largest scale in force, in the dtype in force: reading it in float64 is exact."""
    with torch.no_grad():
        return _largest(module.scale)


@register_rule(HouseholderActivation)
def householder(module: HouseholderActivation) -> float:
    """``I - 2 v v^T`` for the normals in force, whose length is one only up to rounding."""
    with torch.no_grad():
        squares = module.normals.to("cpu", torch.float64).square().sum(dim=0)
    if not bool(squares.isfinite().all()):
        return math.nan
    # Piecewise linear and continuous for a normal of any length; 2^-50 covers the sum's rounding.
    return max(1.0, (2 * float(squares.max()) - 1) * (1 + 2**-50))


def _largest(values: Tensor) -> float:
    return float(values.detach().to("cpu", torch.float64).abs().max())
