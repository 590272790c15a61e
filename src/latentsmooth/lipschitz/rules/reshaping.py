"""Maps that move coordinates, drop them or average them."""

from __future__ import annotations

import math

from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import register_rule
from latentsmooth.orthogonal import (
    ChannelShuffle,
    HaarLowPass,
    HaarWavelet,
    InvertibleDownsample,
    InvertibleUpsample,
    L2NormPool2d,
    ScaledAvgPool2d,
    ZeroPadToMultiple,
)

__all__: list[str] = []


@register_rule(
    nn.ChannelShuffle,
    nn.ConstantPad1d,
    nn.ConstantPad2d,
    nn.ConstantPad3d,
    nn.Flatten,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Unflatten,
    nn.ZeroPad1d,
    nn.ZeroPad2d,
    nn.ZeroPad3d,
    ChannelShuffle,
    HaarLowPass,
    HaarWavelet,
    InvertibleDownsample,
    InvertibleUpsample,
    L2NormPool2d,
    ScaledAvgPool2d,
    ZeroPadToMultiple,
)
def nonexpansive(module: nn.Module) -> float:
    """Permutations, constant padding (negative: cropping), orthonormal bands, norms of windows."""
    return 1.0


@register_rule(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def average_pool(module: nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d) -> float:
    """One over the root of the window's size, for windows that do not overlap."""
    dimensions = _dimensions(module)
    kernel = _sides(module.kernel_size, dimensions)
    _refuse_overlap(module, kernel, _sides(module.stride, dimensions))
    if getattr(module, "divisor_override", None) is not None or module.ceil_mode:
        raise UnverifiedModule("average pooling with ceil_mode or divisor_override has no rule")
    if not module.count_include_pad and max(_sides(module.padding, dimensions)) > 0:
        raise UnverifiedModule("average pooling with count_include_pad=False has no rule")
    return 1.0 / math.sqrt(math.prod(kernel)) * (1 + 2**-51)


@register_rule(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
def max_pool(module: nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d) -> float:
    """A selection of coordinates, for windows that do not overlap."""
    dimensions = _dimensions(module)
    dilation = _sides(module.dilation, dimensions)
    if max(dilation) > 1:
        raise UnverifiedModule(f"max pooling with dilation {dilation} has no rule")
    kernel, stride = _sides(module.kernel_size, dimensions), _sides(module.stride, dimensions)
    _refuse_overlap(module, kernel, stride)
    return 1.0


@register_rule(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
def global_pool(module: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) -> float:
    """A mean or a selection over whole sides; to any other size, windows may repeat pixels."""
    size = module.output_size
    if any(side not in (1, None) for side in (size if isinstance(size, tuple) else (size,))):
        raise UnverifiedModule(
            f"{type(module).__name__} to {size} may read pixels twice and has no "
            "rule; use sides of 1 or None, or a pooling with windows"
        )
    return 1.0


@register_rule(nn.Upsample, nn.UpsamplingNearest2d)
def nearest_upsample(module: nn.Upsample) -> float:
    """Every pixel repeated: the root of the number of copies."""
    scale = module.scale_factor
    # Powers of two: for others torch's rounded 1 / scale may give a pixel one copy more. One
    # factor a side, because a single one does not say how many sides there are.
    if (
        module.mode != "nearest"
        or not isinstance(scale, tuple)
        or not all(factor >= 1 and math.frexp(factor)[0] == 0.5 for factor in scale)
    ):
        raise UnverifiedModule(
            f"upsampling by {scale} of size {module.size} and mode {module.mode!r} has no rule; "
            "use mode 'nearest' and a scale factor for each side, powers of two: (2, 2)"
        )
    return math.sqrt(math.prod(scale)) * (1 + 2**-51)


def _dimensions(module: nn.Module) -> int:
    if isinstance(module, nn.AvgPool1d | nn.MaxPool1d):
        return 1
    return 2 if isinstance(module, nn.AvgPool2d | nn.MaxPool2d) else 3


def _refuse_overlap(module: nn.Module, kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
    if any(size > step for size, step in zip(kernel, stride, strict=True)):
        raise UnverifiedModule(
            f"{type(module).__name__} with kernel {kernel} and stride {stride} reads pixels twice "
            "and has no rule; use a stride of at least the kernel"
        )


def _sides(value: int | tuple[int, ...], dimensions: int) -> tuple[int, ...]:
    return (value,) * dimensions if isinstance(value, int) else tuple(value)
