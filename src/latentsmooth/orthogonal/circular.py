"""Convolution on the torus, with a backward of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from latentsmooth.orthogonal.padding import Margins, circular_fold, circular_pad, scratch_pad

__all__ = ["adjoint_kernel", "circular_convolution", "convolve", "convolve_transposed"]

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolve(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """``conv1d``, ``conv2d`` or ``conv3d``, by the number of axes."""
    function: Any = _CONVOLUTIONS[images.ndim - 2]
    result: Tensor = function(
        images, weight, bias, tuple(stride), tuple(padding), tuple(dilation), groups
    )
    return result


def convolve_transposed(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    crop: Margins,
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """``conv_transpose1d``, ``2d`` or ``3d``, by the number of axes, each end cropped."""
    function: Any = _TRANSPOSED[images.ndim - 2]
    both = tuple(min(margin) for margin in crop)
    zeros = (0,) * len(stride)
    result: Tensor = function(
        images, weight, bias, tuple(stride), both, zeros, groups, tuple(dilation)
    )
    for axis, ((before, after), done) in enumerate(zip(crop, both, strict=True), start=2):
        if before != after:
            side = result.shape[axis] - (before - done) - (after - done)
            result = result.narrow(axis, before - done, side)
    return result


def circular_convolution(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    margins: Margins,
) -> Tensor:
    """Convolve on the torus, with a backward that never forms the padded image's gradient.

    The gradient of a stride-1 circular convolution is the circular convolution of the output's
    gradient with the adjoint kernel: padding it costs one copy, where automatic differentiation
    computes the margins' gradients and adds them back slice by slice.

    Args:
        images: ``(batch, channels, *sides)``.
        weight: ``(outputs, channels / groups, *taps)``.
        bias: ``(outputs,)`` or none.
        stride: step an axis.
        dilation: spacing of taps an axis.
        groups: blocks of channels.
        margins: pixels to wrap before and after each side.

    Returns:
        ``(batch, outputs, *sides)``, as the margins and the stride leave them.
    """
    arguments = (tuple(stride), tuple(dilation), groups, margins)
    compiling = torch.compiler.is_compiling()
    if compiling or not _wants_gradient(images, weight, bias):
        padded = (circular_pad if compiling else scratch_pad)(images, margins)
        return convolve(padded, weight, bias, stride, (0,) * len(margins), dilation, groups)
    device = images.device.type
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if autocast and images.dtype != torch.float64:
        # Cast before the function, so that its backward, which runs outside, sees one dtype.
        dtype = torch.get_autocast_dtype(device)
        images, weight = images.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    apply: Any = _CircularConvolution.apply
    result: Tensor = apply(images, weight, bias, *arguments)
    return result


def _wants_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


class _CircularConvolution(Function):
    """Saves the images and not their padded copy: as little memory as a plain convolution."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        margins: Margins,
    ) -> Tensor:
        padded = scratch_pad(images, margins)
        return convolve(padded, weight, bias, stride, (0,) * len(margins), dilation, groups)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        images, weight, bias, *ctx.arguments = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(images, weight)
        ctx.save_for_forward(images, weight)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        images, weight = ctx.saved_tensors
        stride, dilation, groups, margins = ctx.arguments
        images_tangent, weight_tangent, bias_tangent = tangents[:3]
        parts = [
            (images_tangent, weight),
            (images, weight_tangent),
        ]
        zeros = (0,) * len(margins)
        result = sum(
            convolve(circular_pad(first, margins), second, None, stride, zeros, dilation, groups)
            for first, second in parts
            if first is not None and second is not None
        )
        if bias_tangent is not None:
            result = result + bias_tangent.reshape(-1, *(1,) * len(margins))
        return result  # type: ignore[return-value]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        stride, dilation, groups, margins = ctx.arguments
        grad = grads[0]
        wants_images, wants_weight = ctx.needs_input_grad[:2]
        wants_bias = ctx.has_bias and ctx.needs_input_grad[2]
        images_grad = weight_grad = bias_grad = None
        # Padding the gradient copies it: where images have fewer channels, folding theirs is less.
        direct = _keeps_size(weight, stride, dilation, margins)
        direct = direct and images.shape[1] >= weight.shape[0]
        if wants_images and direct:
            images_grad = _adjoint_on_torus(grad, weight, dilation, groups, margins)
        through_padding = wants_images and not direct
        if through_padding or wants_weight or wants_bias:
            zeros = (0,) * len(margins)
            padded_grad, weight_grad, bias_grad = torch.ops.aten.convolution_backward(
                grad,
                scratch_pad(images, margins),
                weight,
                [weight.shape[0]] if wants_bias else None,
                stride,
                zeros,
                dilation,
                False,
                zeros,
                groups,
                (through_padding, wants_weight, wants_bias),
            )
            if through_padding:
                images_grad = circular_fold(padded_grad, margins)
        return images_grad, weight_grad, bias_grad, None, None, None, None


def _keeps_size(
    weight: Tensor, stride: tuple[int, ...], dilation: tuple[int, ...], margins: Margins
) -> bool:
    """Whether the adjoint is itself a circular convolution with the margins swapped."""
    reach = [gap * (taps - 1) for gap, taps in zip(dilation, weight.shape[2:], strict=True)]
    return set(stride) == {1} and [sum(margin) for margin in margins] == reach


def adjoint_kernel(weight: Tensor, groups: int) -> Tensor:
    """The kernel of the adjoint at stride 1: taps reversed, channels of each group swapped."""
    blocks = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    return blocks.flip(list(range(2, weight.ndim)))


def _adjoint_on_torus(
    grad: Tensor, weight: Tensor, dilation: tuple[int, ...], groups: int, margins: Margins
) -> Tensor:
    """The adjoint of a stride-1 circular convolution: flip the taps, swap channels and margins."""
    flipped = adjoint_kernel(weight, groups)
    swapped = tuple((after, before) for before, after in margins)
    ones, zeros = (1,) * len(margins), (0,) * len(margins)
    return convolve(scratch_pad(grad, swapped), flipped, None, ones, zeros, dilation, groups)
