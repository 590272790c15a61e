"""Convolutions and transposed convolutions, in one to three dimensions."""

from __future__ import annotations

import torch
from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.kernels import convolution_bound
from latentsmooth.lipschitz.registry import BoundOf, register_composite_rule, register_rule
from latentsmooth.orthogonal import (
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
)

__all__ = [
    "circular_stride",
    "convolution_bound",
    "plain_convolution",
    "transposed_convolution",
]

OrthogonalLayer = (
    OrthogonalConv1d
    | OrthogonalConv2d
    | OrthogonalConv3d
    | OrthogonalConvTranspose1d
    | OrthogonalConvTranspose2d
    | OrthogonalConvTranspose3d
)
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
TransposedConvolution = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


@register_rule(
    OrthogonalConv1d,
    OrthogonalConv2d,
    OrthogonalConv3d,
    OrthogonalConvTranspose1d,
    OrthogonalConvTranspose2d,
    OrthogonalConvTranspose3d,
)
def orthogonal_convolution(module: OrthogonalLayer) -> float:
    """The kernel in force, in the dtype in force; these layers refuse sizes that would not fit."""
    with torch.no_grad():
        weight = module.weight
    return convolution_bound(weight, module.stride, dilation=module.dilation, groups=module.groups)


@register_composite_rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def plain_convolution(module: Convolution, bound_of: BoundOf) -> float:
    """A convolution with zero or circular padding."""
    if module.padding_mode not in ("zeros", "circular"):
        raise UnverifiedModule(
            f"a convolution with padding_mode={module.padding_mode!r} repeats pixels and has no "
            "rule; use 'zeros' or 'circular'"
        )
    weight, stride = module.weight.detach(), tuple(module.stride)
    if module.padding_mode == "circular":
        stride = circular_stride(module, bound_of.input_shapes)
    return convolution_bound(weight, stride, dilation=tuple(module.dilation), groups=module.groups)


@register_rule(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def transposed_convolution(module: TransposedConvolution) -> float:
    """The adjoint of a convolution; padding crops its result, output padding shows more of it."""
    return convolution_bound(
        module.weight.detach(),
        tuple(module.stride),
        dilation=tuple(module.dilation),
        groups=module.groups,
    )


def circular_stride(module: Convolution, shapes: frozenset[tuple[int, ...]]) -> tuple[int, ...]:
    """The stride to count with where padding is circular.

    Args:
        module: the convolution.
        shapes: of its inputs, batch first; empty where not known.
    """
    taps = module.weight.shape[2:]
    return tuple(_circular_step(module, taps[axis], axis, shapes) for axis in range(len(taps)))


def _circular_step(
    module: Convolution, taps: int, axis: int, shapes: frozenset[tuple[int, ...]]
) -> int:
    """The stride to count with: its own where the wrapped phases are known to line up."""
    axes, step, gap = len(module.stride), module.stride[axis], module.dilation[axis]
    # What forward pads by, fixed when the module was made, counted from the last axis.
    margins = module._reversed_padding_repeated_twice
    last = 2 * (axes - 1 - axis)
    total = margins[last] + margins[last + 1]
    sides = {shape[axis - axes] for shape in shapes}
    outputs = {side: (side + total - gap * (taps - 1) - 1) // step + 1 for side in sides}
    if sides and all(side % step == 0 and outputs[side] <= side // step for side in sides):
        return step
    if total > gap * (taps - 1):
        raise UnverifiedModule(
            f"circular padding by {total} pixels in all repeats outputs of a kernel of {taps} "
            f"with dilation {gap} and has no rule; use at most {gap * (taps - 1)}"
        )
    # Where the stride does not divide the image, the subsampled stride-1 convolution is what
    # holds for every size.
    return 1
