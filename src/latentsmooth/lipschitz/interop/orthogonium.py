"""Layers of orthogonium 0.0.4 that are no plain convolutions or linear maps."""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from torch import Tensor, nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.interop.channels import check_channels
from latentsmooth.lipschitz.kernels import convolution_bound
from latentsmooth.lipschitz.registry import (
    BoundOf,
    refuse_hooks,
    register_composite_rule,
    register_rule,
)
from latentsmooth.lipschitz.rules.dense import dense_bound
from latentsmooth.lipschitz.rules.rounding import multiply_up

__all__: list[str] = []

_activations: Any = importlib.import_module("orthogonium.layers.custom_activations")
_normalization: Any = importlib.import_module("orthogonium.layers.normalization")
_residual: Any = importlib.import_module("orthogonium.layers.residual")
_shuffle: Any = importlib.import_module("orthogonium.layers.channel_shuffle")
_sll: Any = importlib.import_module("orthogonium.layers.conv.SLL.sll_layer")


@register_rule(_activations.Abs, _activations.SoftHuber, _shuffle.ChannelShuffle)
def nonexpansive(module: Any) -> float:
    """Slopes of at most one; a permutation of channels, whose number it checks."""
    return 1.0


@register_rule(_activations.MaxMin)
def max_min(module: Any) -> float:
    """Pairs are sorted."""
    if module.axis == 0:
        raise UnverifiedModule("axis=0 sorts samples against each other")
    return 1.0


@register_composite_rule(_activations.HouseHolder)
def householder(module: Any, bound_of: BoundOf) -> float:
    """A reflection on one side of its mirror, continuous there, divided by the root of two."""
    if module.axis != 1:
        raise UnverifiedModule(f"axis={module.axis} has no rule; use axis=1")
    channels = 2 * module.theta.numel() if module.theta.numel() > 1 else 1
    check_channels(bound_of, channels, axes=module.theta.ndim)
    return math.nextafter(1 / math.sqrt(2), 1)


@register_composite_rule(_normalization.LayerCentering2D)
def layer_centering(module: Any, bound_of: BoundOf) -> float:
    """A projection: each channel minus its mean."""
    check_channels(bound_of, module.bias.numel(), axes=4)
    return 1.0


@register_composite_rule(_residual.ConcatResidual)
def concat_residual(module: Any, bound_of: BoundOf) -> float:
    """One half of the channels passes, the other is transformed."""
    return max(1.0, bound_of("fn"))


@register_rule(_sll.SDPBasedLipschitzResBlock)
def sll_convolution(module: Any) -> float:
    """``x - 2 K^T relu(K x + b)``."""
    _check_activation(module)
    kernel = _constant(module.kernel)
    if kernel.shape[-1] != 2 * module.padding + 1:
        raise UnverifiedModule(f"a kernel of {tuple(kernel.shape)} does not keep the size")
    return _reflection(convolution_bound(kernel, groups=module.groups))


@register_rule(_sll.AOCLipschitzResBlock)
def aoc_residual(module: Any) -> float:
    """``x - 2 K^T relu(K x + b)`` with a kernel that another layer computes."""
    _check_activation(module)
    if module.padding != 0 and module.padding_mode == "circular":
        raise UnverifiedModule(f"circular padding by {module.padding} has no rule")
    return _reflection(convolution_bound(_stable_weight(module.in_conv), groups=module.groups))


@register_rule(_sll.SDPBasedLipschitzDense)
def sll_dense(module: Any) -> float:
    """``x - 2 W^T t relu(W x + b)`` with positive scales ``t``."""
    _check_activation(module)
    scales = _constant(module.compute_t()).double()
    # The scales are computed in the weight's dtype; this covers their own rounding.
    norm = dense_bound(scales.sqrt().unsqueeze(1) * _constant(module.weight).double())
    return _reflection(multiply_up(norm, 1 + 2**-40))


def _reflection(norm: float) -> float:
    """Between two inputs the map is ``I - 2 K^T D K`` with slopes ``D`` from 0 to 1.

    That is symmetric with eigenvalues between ``1 - 2 norm^2`` and 1.
    """
    return max(math.nextafter(multiply_up(2.0, norm, norm) - 1, math.inf), 1.0)


def _check_activation(module: Any) -> None:
    """Raise unless slopes lie between 0 and 1, as those of the library's own choice do."""
    if type(module.activation) is not nn.ReLU:
        raise UnverifiedModule(f"wanted its activation to be ReLU, got {module.activation}")
    refuse_hooks(module.activation, "its activation")


def _constant(value: Tensor) -> Tensor:
    return value.detach().to("cpu")


def _stable_weight(layer: Any) -> Tensor:
    with torch.no_grad():
        first, second = layer.weight.clone(), layer.weight
    if not torch.equal(first, second):
        raise UnverifiedModule(
            "its kernel changes whenever it is read; use latentsmooth.lipschitz.bake(network)"
        )
    return _constant(first)
