"""Dense layers and convolutions: dot products with the weights in force."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentsmooth.lipschitz.roundoff.dots import dot_products
from latentsmooth.lipschitz.roundoff.table import Step, register_rounding_rule
from latentsmooth.lipschitz.rules.convolution import circular_stride
from latentsmooth.orthogonal import (
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
    OrthogonalLinear,
)
from latentsmooth.orthogonal.kernel import polyphase

__all__ = ["convolution_rounding", "dense_rounding"]

Convolution = (
    nn.Conv1d | nn.Conv2d | nn.Conv3d | OrthogonalConv1d | OrthogonalConv2d | OrthogonalConv3d
)
Transposed = (
    nn.ConvTranspose1d
    | nn.ConvTranspose2d
    | nn.ConvTranspose3d
    | OrthogonalConvTranspose1d
    | OrthogonalConvTranspose2d
    | OrthogonalConvTranspose3d
)


@register_rounding_rule(nn.Linear, OrthogonalLinear)
def linear(module: nn.Linear | OrthogonalLinear, step: Step) -> float:
    """Every output is one dot product."""
    return dense_rounding(step, module.weight, module.bias)


@register_rounding_rule(
    nn.Conv1d, nn.Conv2d, nn.Conv3d, OrthogonalConv1d, OrthogonalConv2d, OrthogonalConv3d
)
def convolution(module: Convolution, step: Step) -> float:
    """Padding repeats pixels or adds zeros, both exactly."""
    stride = tuple(module.stride)
    if getattr(module, "padding_mode", "") == "circular" and isinstance(
        module, nn.Conv1d | nn.Conv2d | nn.Conv3d
    ):
        # Phases of the stride stay apart only where it divides the image.
        stride = circular_stride(module, frozenset({tuple(step.inputs.shape)}))
    return convolution_rounding(
        step, module.weight, module.bias, stride, module.dilation, module.groups
    )


@register_rounding_rule(
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
)
def transposed_convolution(module: Transposed, step: Step) -> float:
    """Every output sums the taps of its own phase."""
    return convolution_rounding(
        step,
        module.weight,
        module.bias,
        module.stride,
        module.dilation,
        module.groups,
        transposed=True,
    )


def dense_rounding(step: Step, weight: Tensor, bias: Tensor | None) -> float:
    """Rounding of a product with a matrix ``(outputs, inputs)``."""
    matrix = weight.detach().to("cpu", torch.float64)
    return dot_products(step, matrix[None, :, :, None], bias)


def convolution_rounding(
    step: Step,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    *,
    transposed: bool = False,
) -> float:
    """Rounding of a convolution of any size of image, or of its adjoint.

    The matrix of absolute weights is a convolution with the absolute kernel, whose gain is
    largest at frequency zero: there it is the matrix of the sums over taps, one phase of the
    stride apart from the other.
    """
    kernel = weight.detach().to("cpu", torch.float64)
    steps = [s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
    phases = polyphase(kernel.reshape(groups, -1, *kernel.shape[1:]), steps).flatten(3)
    return dot_products(step, phases.transpose(1, 2) if transposed else phases, bias)
