"""Functional layers with constant weights, and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.kernels import convolution_bound
from latentsmooth.lipschitz.operations import Call, operation
from latentsmooth.lipschitz.rules.dense import dense_bound
from latentsmooth.lipschitz.rules.reshaping import average_pool, max_pool
from latentsmooth.lipschitz.rules.rounding import multiply_up, root_up

__all__: list[str] = []

Axes = int | Sequence[int]


@operation("linear")
def linear(call: Call, tensor: Tensor, weight: Tensor, bias: Tensor | None = None) -> float:
    """The norm of a constant matrix."""
    _check_constant(call, weight, bias)
    return multiply_up(call.gain_of(tensor), dense_bound(weight))


@operation("matmul", "__matmul__")
def matmul(call: Call, tensor: Tensor, other: Tensor) -> float:
    """Values times a constant matrix."""
    if not isinstance(other, Tensor) or other.ndim != 2 or not call.varies(tensor):
        raise call.refusal("is known only for a value times a constant matrix")
    _check_constant(call, other)
    return multiply_up(call.gain_of(tensor), dense_bound(other))


@operation("conv1d", "conv2d", "conv3d")
def convolution(
    call: Call,
    tensor: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
) -> float:
    """A constant kernel; these functions pad with zeros."""
    _check_constant(call, weight, bias)
    _check_batched(call, tensor)
    bound = convolution_bound(weight, _steps(stride), dilation=_steps(dilation), groups=groups)
    return multiply_up(call.gain_of(tensor), bound)


@operation("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(
    call: Call,
    tensor: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Axes = 1,
    padding: Axes = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
) -> float:
    """The adjoint of a convolution with the same kernel."""
    return convolution(call, tensor, weight, bias, stride, padding, dilation, groups)


@operation("avg_pool2d")
def avg_pool2d(
    call: Call,
    tensor: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> float:
    """As the module."""
    module = nn.AvgPool2d(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return multiply_up(call.gain_of(tensor), _rule_of(call, average_pool, module))


@operation("max_pool2d")
def max_pool2d(
    call: Call,
    tensor: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> float:
    """As the module."""
    module = nn.MaxPool2d(kernel_size, stride, padding, dilation, False, ceil_mode)
    return multiply_up(call.gain_of(tensor), _rule_of(call, max_pool, module))


@operation("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_average_pool(call: Call, tensor: Tensor, output_size: Any) -> float:
    """Means of windows that do not overlap."""
    _check_batched(call, tensor)
    inside, outside = tensor.shape[2:], call.result.shape[2:]
    if any(before % after for before, after in zip(inside, outside, strict=True)):
        raise call.refusal("has no rule for windows that overlap")
    window = root_up(tensor.numel() / call.result.numel())
    return multiply_up(call.gain_of(tensor), math.nextafter(1 / window, 1), 1 + 2**-51)


def _rule_of(call: Call, rule: Callable[[Any], float], module: nn.Module) -> float:
    try:
        return rule(module)
    except UnverifiedModule as error:
        raise call.refusal(f"has no rule: {error}") from None


def _check_batched(call: Call, tensor: Tensor) -> None:
    """Without the axis of samples torch would take that of another for it."""
    wanted = int(call.name[-2]) + 2
    if tensor.ndim != wanted:
        raise call.refusal(f"meets {tensor.ndim} axes; wanted {wanted}, samples first")


def _check_constant(call: Call, *tensors: Any) -> None:
    if any(each is not None and call.varies(each) for each in tensors):
        raise call.refusal("has a weight or bias that depends on the input")


def _steps(value: Axes) -> int | tuple[int, ...]:
    if isinstance(value, int):
        return value
    return value[0] if len(value) == 1 else tuple(value)
