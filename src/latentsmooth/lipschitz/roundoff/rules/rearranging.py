"""Maps that move, repeat, drop and select coordinates, exactly."""

from __future__ import annotations

import torch
from torch import nn

from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up
from latentsmooth.orthogonal import (
    ChannelShuffle,
    InvertibleDownsample,
    InvertibleUpsample,
    ZeroPadToMultiple,
)

__all__: list[str] = []


@register_rounding_rule(
    nn.AdaptiveMaxPool2d,
    nn.ChannelShuffle,
    nn.CircularPad1d,
    nn.CircularPad2d,
    nn.CircularPad3d,
    nn.Flatten,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ReflectionPad1d,
    nn.ReflectionPad2d,
    nn.ReflectionPad3d,
    nn.ReplicationPad1d,
    nn.ReplicationPad2d,
    nn.ReplicationPad3d,
    nn.Unflatten,
    nn.Upsample,
    nn.UpsamplingNearest2d,
    nn.ZeroPad1d,
    nn.ZeroPad2d,
    nn.ZeroPad3d,
    ChannelShuffle,
    InvertibleDownsample,
    InvertibleUpsample,
    ZeroPadToMultiple,
)
def exact(module: nn.Module, step: Step) -> float:
    """Every result is an input or zero."""
    return 0.0


@register_rounding_rule(nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)
def constant_pad(
    module: nn.ConstantPad1d | nn.ConstantPad2d | nn.ConstantPad3d, step: Step
) -> float:
    """The constant may have been rounded to the dtype."""
    held = float(torch.tensor(module.value, dtype=step.inputs.dtype)) == module.value
    if held:
        return 0.0
    return add_up(step.each(multiply_up(step.unit, abs(module.value))), step.underflow(1))
