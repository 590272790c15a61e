"""Encoders of the named builds: chains of orthogonal maps over centred pixels."""

from __future__ import annotations

from torch import nn

from latentsmooth.orthogonal import (
    Center,
    HaarLowPass,
    MaxMin,
    OrthogonalConv2d,
    ZeroPadToMultiple,
)

__all__ = ["convolutional_encoder", "haar_encoder", "identity_encoder"]

ConvolutionSpec = tuple[int, int, int]
"""Kernel size, stride, output channels."""


def identity_encoder() -> nn.Sequential:
    """Centred pixels as they are: input space smoothing (ISRS)."""
    return nn.Sequential(Center())


def convolutional_encoder(
    in_channels: int, specs: list[ConvolutionSpec], *, flatten: bool = False
) -> nn.Sequential:
    """Orthogonal convolutions, circular padding, no bias, MaxMin after each.

    Images whose sides are not multiples of the product of strides are first padded with zeros.

    Args:
        in_channels: channels of the images.
        specs: ``(kernel size, stride, output channels)`` of each convolution.
        flatten: whether to flatten the result into a vector.
    """
    multiple = 1
    for _, stride, _ in specs:
        multiple *= stride
    layers: list[nn.Module] = [Center()]
    if multiple > 1:
        layers.append(ZeroPadToMultiple(multiple))
    channels = in_channels
    for kernel_size, stride, out_channels in specs:
        layers += [
            OrthogonalConv2d(channels, out_channels, kernel_size, stride, bias=False),
            MaxMin(),
        ]
        channels = out_channels
    if flatten:
        layers.append(nn.Flatten())
    return nn.Sequential(*layers)


def haar_encoder(in_channels: int, *, levels: int, depth: int, channels: int) -> nn.Sequential:
    """An orthonormal Haar low-pass, then orthogonal 3x3 convolutions at the low resolution.

    Args:
        in_channels: channels of the images.
        levels: halvings of the resolution.
        depth: convolutions after it, each followed by MaxMin.
        channels: channels of those convolutions.
    """
    layers: list[nn.Module] = [Center(), ZeroPadToMultiple(2**levels), HaarLowPass(levels)]
    for position in range(depth):
        before = in_channels if position == 0 else channels
        layers += [OrthogonalConv2d(before, channels, 3, bias=False), MaxMin()]
    return nn.Sequential(*layers)
