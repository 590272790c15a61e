"""Layers of deel-torchlip 1.0.5 that are no plain linear maps or transposed convolutions."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.interop.channels import check_channels
from latentsmooth.lipschitz.registry import BoundOf, register_composite_rule, register_rule
from latentsmooth.lipschitz.rules.convolution import plain_convolution
from latentsmooth.lipschitz.rules.reshaping import average_pool
from latentsmooth.lipschitz.rules.rounding import multiply_up

__all__: list[str] = []

_activation: Any = importlib.import_module("deel.torchlip.modules.activation")
_conv: Any = importlib.import_module("deel.torchlip.modules.conv")
_normalization: Any = importlib.import_module("deel.torchlip.modules.normalization")
_pooling: Any = importlib.import_module("deel.torchlip.modules.pooling")
_unconstrained: Any = importlib.import_module("deel.torchlip.modules.unconstrained")


@register_composite_rule(
    _conv.FrobeniusConv2d,
    _conv.SpectralConv1d,
    _conv.SpectralConv2d,
    _unconstrained.PadConv1d,
    _unconstrained.PadConv2d,
)
def convolution(module: Any, bound_of: BoundOf) -> float:
    """The kernel in force in evaluation, all factors included."""
    if module.old_padding_mode.lower() == "symmetric" or isinstance(module.pad, nn.Module):
        raise UnverifiedModule(
            "a convolution with padding_mode='symmetric' repeats pixels and has no rule; use "
            "'zeros' or 'circular'"
        )
    return plain_convolution(module, bound_of)


@register_rule(
    _activation.FullSort, _activation.GroupSort, _activation.GroupSort2, _activation.MaxMin
)
def sorting(module: Any) -> float:
    """Sorted channels, or positive and negative parts, times the layer's factor."""
    if getattr(module, "_dim", 1) == 0:
        raise UnverifiedModule("dim=0 joins samples")
    return _factor(module)


@register_rule(_activation.LPReLU)
def leaky(module: Any) -> float:
    """Slope one above zero, a clamped one below."""
    limit = _factor(module)
    slopes = module.weight.detach().to("cpu", torch.float64).clamp(-limit, limit)
    return max(float(slopes.abs().max()), 1.0)


@register_composite_rule(_activation.HouseHolder)
def householder(module: Any, bound_of: BoundOf) -> float:
    """A reflection on one side of its mirror, continuous there; the factor is not applied."""
    check_channels(bound_of, 2 * module.theta.numel() if module.theta.numel() > 1 else 1)
    return 1.0


@register_rule(_pooling.ScaledAvgPool2d)
def scaled_average(module: Any) -> float:
    """An average pooling times two factors."""
    return multiply_up(average_pool(module), abs(float(module.scalingFactor)), _factor(module))


@register_rule(_pooling.ScaledL2NormPool2d)
def norms_of_windows(module: Any) -> float:
    """The length of each window, for windows that do not overlap."""
    if module.ceil_mode or module.stride not in (None, module.kernel_size):
        raise UnverifiedModule("norm pooling with ceil_mode or a stride of its own has no rule")
    return _factor(module)


@register_rule(_pooling.ScaledAdaptativeL2NormPool2d, _pooling.ScaledAdaptiveAvgPool2d)
def whole_images(module: Any) -> float:
    """Length of a channel, or its mean times the root of the number of pixels."""
    return multiply_up(_factor(module), 1 + 2**-50)


@register_composite_rule(_normalization.LayerCentering)
def layer_centering(module: Any, bound_of: BoundOf) -> float:
    """A projection: minus the mean over axes of the image."""
    axes = (module.dim,) if isinstance(module.dim, int) else tuple(module.dim)
    if not bound_of.input_shapes:
        raise UnverifiedModule("give input_shape to show that it does not go over the samples")
    for shape in bound_of.input_shapes:
        if any(axis % len(shape) == 0 for axis in axes):
            raise UnverifiedModule(f"dim={axes} goes over the samples of an input of {shape}")
    if module.bias is not None:
        check_channels(bound_of, module.bias.numel())
    return 1.0


@register_composite_rule(_normalization.BatchCentering, _normalization.BatchLipNorm)
def batch_scaling(module: Any, bound_of: BoundOf) -> float:
    """In evaluation a fixed shift and one factor for all channels."""
    check_channels(bound_of, module.num_features)
    settled = copy.deepcopy(module)
    # The first evaluation after training turns sums over batches into means.
    settled.update_running_values()
    return multiply_up(abs(float(settled.get_scaling(training=False))), 1 + 2**-50)


@register_composite_rule(_normalization.ScaleBiasLayer)
def scale_and_shift(module: Any, bound_of: BoundOf) -> float:
    """One factor for all channels."""
    if module.bias is not None:
        # The layer keeps the number of axes that it first met.
        met = {len(shape) for shape in bound_of.input_shapes}
        kept = None if module.bias_shape is None else len(module.bias_shape)
        if kept is None and len(met) > 1:
            raise UnverifiedModule(f"its bias meets inputs of {sorted(met)} axes")
        check_channels(bound_of, module.bias.numel(), axes=kept)
    return abs(float(module.scalar))


def _factor(module: Any) -> float:
    return abs(float(module._coefficient_lip))
