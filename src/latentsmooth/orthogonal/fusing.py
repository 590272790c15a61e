"""Neighbouring linear maps as one, where that is exact and no dearer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from latentsmooth.orthogonal.elementwise import Center, ChannelNormalize
from latentsmooth.orthogonal.freezing import filled, freeze
from latentsmooth.orthogonal.kernel import strided_from_polyphase
from latentsmooth.orthogonal.reshaping import InvertibleDownsample

__all__ = ["fuse"]

Linear = TypeVar("Linear", nn.Linear, nn.Conv2d)


def fuse(module: nn.Module) -> nn.Module:
    """Freeze a network and merge consecutive linear maps of its ``nn.Sequential`` chains.

    Merged are: dense layers with dense layers; convolutions with 1x1 convolutions on either side;
    a shift or scaling of channels with the convolution after it; an invertible downsampling with
    the stride-1 convolution after it, which becomes a strided one. A pair stays apart where the
    product would cost more multiplications, or differ at a zero-padded border. Products are formed
    in float64 and rounded once: outputs equal the chain's up to rounding, so a bound must be
    verified anew. Positions in a chain change: code that indexes into one must not.

    Args:
        module: a network; it stays as it is.

    Returns:
        A copy in evaluation mode, as `freeze` makes it, with shorter chains.

    Example:
        >>> from latentsmooth.orthogonal import Center, OrthogonalConv2d
        >>> fuse(nn.Sequential(Center(0.5), OrthogonalConv2d(3, 8, 3), OrthogonalConv2d(8, 8, 1)))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1),
            padding_mode=circular)
        )
    """
    return _fused(freeze(module))


def _fused(module: nn.Module) -> nn.Module:
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = _fused(child)
    if type(module) is not nn.Sequential or module._forward_hooks or module._forward_pre_hooks:
        return module
    chain: list[nn.Module] = []
    for part in module._modules.values():
        if part is None or type(part) is nn.Identity:
            continue
        # A module that stands twice must not be changed for one of its places: products are new.
        chain.append(part)
        while len(chain) > 1 and (product := _product(chain[-2], chain[-1])) is not None:
            chain[-2:] = [product]
    return nn.Sequential(*chain).eval()


def _product(first: nn.Module, second: nn.Module) -> nn.Module | None:
    if first._forward_hooks or second._forward_hooks or second._forward_pre_hooks:
        return None
    merge = _MERGES.get((type(first), type(second)))
    return None if merge is None else merge(first, second)


def _linear_linear(first: nn.Linear, second: nn.Linear) -> nn.Linear | None:
    dear = first.in_features * second.out_features
    if dear > first.weight.numel() + second.weight.numel():
        return None
    outer = second.weight.double()
    merged = nn.Linear(first.in_features, second.out_features)
    bias = _sum(
        None if first.bias is None else outer @ first.bias.double(),
        None if second.bias is None else second.bias.double(),
    )
    return _filled(merged, outer @ first.weight.double(), bias, like=second.weight)


def _convolution_convolution(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d | None:
    """One of the two has a single tap, so that only channels are mixed."""
    if first.groups != 1 or second.groups != 1:
        return None
    inner, outer = first.weight.double(), second.weight.double()
    if _is_pointwise(second):
        frame = first
        kernel = torch.einsum("om,mikl->oikl", outer[:, :, 0, 0], inner)
    elif _is_pointwise(first) and (first.bias is None or not _has_zero_border(second)):
        frame = second
        kernel = torch.einsum("omkl,mi->oikl", outer, inner[:, :, 0, 0])
    else:
        return None
    # Both kernels work at the resolution of the one with taps, or above it: compare there.
    if kernel.numel() > inner.numel() + outer.numel():
        return None
    bias = _sum(
        None if first.bias is None else outer.sum(dim=(2, 3)) @ first.bias.double(),
        None if second.bias is None else second.bias.double(),
    )
    return _like(frame, kernel, bias, inputs=first.in_channels, outputs=second.out_channels)


def _shift_convolution(first: Center | ChannelNormalize, second: nn.Conv2d) -> nn.Conv2d | None:
    """A constant image becomes a bias, where no zero border shows the constant's edge."""
    if _has_zero_border(second):
        return None
    kernel = second.weight.double()
    per_group = second.in_channels // second.groups
    mean = first.mean.double().flatten().expand(second.in_channels)
    if isinstance(first, ChannelNormalize):
        scale = 1 / first.std.double().flatten().expand(second.in_channels)
        spread = scale.reshape(second.groups, 1, per_group).expand(
            -1, second.out_channels // second.groups, -1
        )
        kernel = kernel * spread.reshape(second.out_channels, per_group, 1, 1)
    means = mean.reshape(second.groups, 1, per_group)
    sums = kernel.sum(dim=(2, 3)).reshape(second.groups, -1, per_group)
    shift = -(sums * means).sum(dim=2).flatten()
    bias = _sum(shift, None if second.bias is None else second.bias.double())
    return _like(second, kernel, bias, inputs=second.in_channels, outputs=second.out_channels)


def _downsample_convolution(
    first: InvertibleDownsample | nn.PixelUnshuffle, second: nn.Conv2d
) -> nn.Conv2d | None:
    """The polyphase identity: unshuffling and a stride-1 kernel are one strided kernel."""
    factor = first.factor if isinstance(first, InvertibleDownsample) else first.downscale_factor
    unit = tuple(second.stride) == (1, 1) and tuple(second.dilation) == (1, 1)
    known = second.padding_mode in ("zeros", "circular")
    if not unit or not known or second.groups != 1 or isinstance(second.padding, str):
        return None
    kernel = strided_from_polyphase(second.weight.double(), (factor, factor))
    merged = nn.Conv2d(
        second.in_channels // factor**2,
        second.out_channels,
        (kernel.shape[2], kernel.shape[3]),
        stride=factor,
        padding=(int(second.padding[0]) * factor, int(second.padding[1]) * factor),
        padding_mode=second.padding_mode,
    )
    bias = None if second.bias is None else second.bias.double()
    return _filled(merged, kernel, bias, like=second.weight)


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    padding = convolution.padding
    unpadded = padding == "same" or not any(int(p) for p in padding)
    return math.prod(convolution.kernel_size) * math.prod(convolution.stride) == 1 and unpadded


def _has_zero_border(convolution: nn.Conv2d) -> bool:
    unpadded = not any(convolution._reversed_padding_repeated_twice)
    return convolution.padding_mode != "circular" and not unpadded


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _like(
    frame: nn.Conv2d, kernel: Tensor, bias: Tensor | None, *, inputs: int, outputs: int
) -> nn.Conv2d:
    settings: dict[str, Any] = {
        name: getattr(frame, name)
        for name in ("stride", "padding", "dilation", "groups", "padding_mode")
    }
    merged = nn.Conv2d(inputs, outputs, frame.kernel_size, **settings)  # type: ignore[arg-type]
    return _filled(merged, kernel, bias, like=frame.weight)


def _filled(module: Linear, weight: Tensor, bias: Tensor | None, *, like: Tensor) -> Linear:
    return filled(module, weight.to(like), None if bias is None else bias.to(like))


_MERGES: dict[tuple[type[nn.Module], type[nn.Module]], Callable[..., nn.Module | None]] = {
    (nn.Linear, nn.Linear): _linear_linear,
    (nn.Conv2d, nn.Conv2d): _convolution_convolution,
    (Center, nn.Conv2d): _shift_convolution,
    (ChannelNormalize, nn.Conv2d): _shift_convolution,
    (InvertibleDownsample, nn.Conv2d): _downsample_convolution,
    (nn.PixelUnshuffle, nn.Conv2d): _downsample_convolution,
}
