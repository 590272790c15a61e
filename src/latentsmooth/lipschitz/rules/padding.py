"""Padding that repeats pixels: as long as the most repeated one, where the size is known."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import BoundOf, register_composite_rule
from latentsmooth.lipschitz.rules.rounding import root_up

__all__: list[str] = []


@register_composite_rule(
    nn.CircularPad1d,
    nn.CircularPad2d,
    nn.CircularPad3d,
    nn.ReflectionPad1d,
    nn.ReflectionPad2d,
    nn.ReflectionPad3d,
    nn.ReplicationPad1d,
    nn.ReplicationPad2d,
    nn.ReplicationPad3d,
)
def repeating_padding(module: Any, bound_of: BoundOf) -> float:
    """The root of how often the most repeated pixel stands in the result."""
    if not bound_of.input_shapes:
        raise UnverifiedModule(
            "how often it repeats a pixel depends on the size; give input_shape, or let the "
            "convolution after it pad circularly itself"
        )
    axes = len(module.padding) // 2
    most = 1
    for shape in bound_of.input_shapes:
        sides = shape[len(shape) - axes :]
        numbered = torch.arange(math.prod(sides), dtype=torch.float64)
        padded = module.forward(numbered.reshape(1, 1, *sides))
        most = max(most, int(padded.flatten().long().bincount().max()))
    return root_up(float(most))
