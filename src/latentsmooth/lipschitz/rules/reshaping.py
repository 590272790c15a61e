"""Maps that move coordinates, drop them or average them."""

from __future__ import annotations

import math

from torch import nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.registry import register_rule
from latentsmooth.orthogonal import HaarLowPass, InvertibleDownsample, ZeroPadToMultiple

__all__: list[str] = []


@register_rule(
    nn.Flatten,
    nn.Unflatten,
    nn.PixelUnshuffle,
    nn.PixelShuffle,
    nn.ZeroPad2d,
    InvertibleDownsample,
    ZeroPadToMultiple,
    HaarLowPass,
)
def nonexpansive(module: nn.Module) -> float:
    """Permutations, zero padding (negative: cropping) and the orthonormal low-pass."""
    return 1.0


@register_rule(nn.AvgPool2d)
def average_pool(module: nn.AvgPool2d) -> float:
    """``1/k`` for ``k x k`` windows that do not overlap."""
    kh, kw = _pair(module.kernel_size)
    _refuse_overlap(module, (kh, kw), _pair(module.stride))
    if module.divisor_override is not None or module.ceil_mode:
        raise UnverifiedModule("average pooling with ceil_mode or divisor_override has no rule")
    if not module.count_include_pad and max(_pair(module.padding)) > 0:
        raise UnverifiedModule("average pooling with count_include_pad=False has no rule")
    return 1.0 / math.sqrt(kh * kw) * (1 + 2**-51)


@register_rule(nn.MaxPool2d)
def max_pool(module: nn.MaxPool2d) -> float:
    """A selection of coordinates, for windows that do not overlap."""
    dilation = _pair(module.dilation)
    if dilation != (1, 1):
        raise UnverifiedModule(f"max pooling with dilation {dilation} has no rule")
    _refuse_overlap(module, _pair(module.kernel_size), _pair(module.stride))
    return 1.0


def _refuse_overlap(module: nn.Module, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    if kernel[0] > stride[0] or kernel[1] > stride[1]:
        raise UnverifiedModule(
            f"{type(module).__name__} with kernel {kernel} and stride {stride} reads pixels twice "
            "and has no rule; use a stride of at least the kernel"
        )


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
