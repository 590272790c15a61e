"""Maps that act on each coordinate, or sort them."""

from __future__ import annotations

import math

from torch import nn

from latentsmooth.lipschitz.registry import register_rule
from latentsmooth.orthogonal import Center, ChannelNormalize, MaxMin

__all__: list[str] = []


@register_rule(nn.Identity, Center, MaxMin, nn.ReLU, nn.Tanh, nn.Dropout)
def nonexpansive(module: nn.Module) -> float:
    """Shifts, sorts and slopes of at most one (dropout does nothing in evaluation)."""
    return 1.0


@register_rule(nn.LeakyReLU)
def leaky(module: nn.LeakyReLU) -> float:
    """The steeper of the two slopes."""
    return max(abs(module.negative_slope), 1.0)


@register_rule(nn.Sigmoid)
def sigmoid(module: nn.Sigmoid) -> float:
    """The logistic function's steepest slope."""
    return 0.25


@register_rule(ChannelNormalize)
def channel_normalize(module: ChannelNormalize) -> float:
    """Division by a standard deviation: the smallest one counts."""
    smallest = float(module.std.double().abs().min())
    return 1.0 / smallest * (1 + 2**-51) if smallest else math.inf
