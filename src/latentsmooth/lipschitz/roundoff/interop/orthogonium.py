"""Layers of orthogonium 0.0.4 that are no plain convolutions or linear maps."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from latentsmooth.lipschitz.kernels import convolution_bound
from latentsmooth.lipschitz.roundoff.arithmetic import length
from latentsmooth.lipschitz.roundoff.rules.dense import convolution_rounding, dense_rounding
from latentsmooth.lipschitz.roundoff.rules.windows import centring_rounding
from latentsmooth.lipschitz.roundoff.table import (
    Outcome,
    Part,
    Step,
    composite_rounding_rule,
    register_rounding_rule,
)
from latentsmooth.lipschitz.rules.dense import dense_bound
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_up

__all__: list[str] = []

_activations: Any = importlib.import_module("orthogonium.layers.custom_activations")
_normalization: Any = importlib.import_module("orthogonium.layers.normalization")
_residual: Any = importlib.import_module("orthogonium.layers.residual")
_shuffle: Any = importlib.import_module("orthogonium.layers.channel_shuffle")
_sll: Any = importlib.import_module("orthogonium.layers.conv.SLL.sll_layer")


@register_rounding_rule(_activations.Abs, _activations.MaxMin, _shuffle.ChannelShuffle)
def exact(module: Any, step: Step) -> float:
    """Signs, sorts and permutations."""
    return 0.0


@register_rounding_rule(_activations.SoftHuber)
def soft_huber(module: Any, step: Step) -> float:
    """``d (sqrt(1 + (z / d)^2) - 1)``: a root of at most ``1 + |z| / d``, a dozen units off."""
    size = abs(float(module.delta))
    if (
        not size > 0
        or not step.arithmetic.is_ordinary(size)
        or not (step.norm / size) ** 2 < step.arithmetic.largest
    ):
        return math.inf
    return add_up(step.of_input(16), step.each(multiply_up(16 * step.unit, size, 1 + 2**-10)))


@register_rounding_rule(_activations.HouseHolder)
def householder(module: Any, step: Step) -> float:
    """A reflection by sines and cosines of 4 units in the last place, divided by a root.

    On the wrong side of the mirror a vector lies only where its side is lost in rounding.
    """
    return step.of_input(64)


@register_rounding_rule(_normalization.LayerCentering2D)
def layer_centring(module: Any, step: Step) -> float:
    """Minus the mean of a channel, plus a constant."""
    return centring_rounding(step, math.prod(step.inputs.shape[-2:]))


@composite_rounding_rule(_residual.ConcatResidual)
def concat_residual(module: Any, part: Part) -> Outcome:
    """The branch's; what passes is exact."""
    _, second = part.inputs.chunk(2, dim=1)
    branch = part.run("fn", second, spread=part.spread)
    return part.step().outcome(branch.error)


@register_rounding_rule(_sll.SDPBasedLipschitzResBlock)
def sll_convolution(module: Any, step: Step) -> float:
    """``x - 2 K^T relu(K x + b)``."""
    return _reflection(step, module.kernel, module.bias, module.groups, padding=module.padding)


@register_rounding_rule(_sll.AOCLipschitzResBlock)
def aoc_residual(module: Any, step: Step) -> float:
    """``x - 2 K^T relu(K x + b)`` with a kernel that another layer computes."""
    inner = module.in_conv
    return _reflection(step, inner.weight, inner.bias, module.groups, padding=0)


@register_rounding_rule(_sll.SDPBasedLipschitzDense)
def sll_dense(module: Any, step: Step) -> float:
    """``x - 2 W^T t relu(W x + b)`` with the scales ``t`` in force."""
    weight, bias = module.weight.detach(), module.bias.detach().flatten()
    scale = float(module.compute_t().detach().double().abs().max())
    norm = dense_bound(weight)
    hidden = replace(step, outputs=step.inputs.new_zeros(1, len(weight)))
    first = dense_rounding(hidden, weight, bias)
    reach = multiply_up(scale, add_up(multiply_up(norm, step.norm), length(bias), first))
    scaled = add_up(multiply_up(scale, first), multiply_up(step.arithmetic.gamma(2), reach))
    reach = add_up(reach, scaled)
    second = dense_rounding(replace(step, norm=reach), weight.mT, None)
    return _subtracted(step, add_up(multiply_up(norm, scaled), second))


def _reflection(
    step: Step, kernel: Tensor, bias: Tensor | None, groups: int, *, padding: int
) -> float:
    kernel = kernel.detach()
    constants = torch.zeros(len(kernel)) if bias is None else bias.detach().flatten()
    sides = [
        side + 2 * padding - taps + 1
        for side, taps in zip(step.inputs.shape[2:], kernel.shape[2:], strict=True)
    ]
    norm, ones = convolution_bound(kernel, groups=groups), (1,) * len(sides)
    hidden = replace(step, outputs=step.inputs.new_zeros(1, len(kernel), *sides))
    first = convolution_rounding(hidden, kernel, constants, ones, ones, groups)
    shift = multiply_up(length(constants), root_up(float(math.prod(sides))))
    reach = add_up(multiply_up(norm, step.norm), shift, first)
    second = convolution_rounding(
        replace(step, norm=reach), kernel, None, ones, ones, groups, transposed=True
    )
    return _subtracted(step, add_up(multiply_up(norm, first), second))


def _subtracted(step: Step, error: float) -> float:
    """Twice a term is exact; the difference is rounded, its own error included."""
    return add_up(multiply_up(2.0, error, 1 + 2**-10), step.of_output(1))
