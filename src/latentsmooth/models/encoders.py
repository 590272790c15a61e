"""Encoders of the named builds: orthogonal maps over centred pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from latentsmooth.orthogonal import (
    Center,
    ConvexResidual,
    GroupSort,
    HaarLowPass,
    HaarWavelet,
    Initialisation,
    MaxMin,
    OrthogonalConv2d,
    OrthogonalLinear,
    ZeroPadToMultiple,
)

__all__ = [
    "WAVELET_LEVELS",
    "compressing_encoder",
    "convnet_encoder",
    "convolutional_encoder",
    "dense_encoder",
    "haar_encoder",
    "identity_encoder",
    "residual_encoder",
]

ConvolutionSpec = tuple[int, int, int]
"""Kernel size, stride, output channels."""
WAVELET_LEVELS = 2
"""Levels of the transform before the dense layers of `dense_encoder`."""


def identity_encoder() -> nn.Sequential:
    """Centred pixels as they are: input space smoothing (ISRS)."""
    return nn.Sequential(Center())


def convolutional_encoder(
    in_channels: int, specs: Sequence[ConvolutionSpec], *, flatten: bool = False
) -> nn.Sequential:
    """Orthogonal convolutions, circular padding, no bias, MaxMin after each.

    Images whose sides are not multiples of the product of strides are first padded with zeros.

    Args:
        in_channels: channels of the images.
        specs: ``(kernel size, stride, output channels)`` of each convolution.
        flatten: whether to flatten the result into a vector.
    """
    layers = _entrance(math.prod(stride for _, stride, _ in specs))
    layers += _convolutions(in_channels, specs)
    if flatten:
        layers.append(nn.Flatten())
    return nn.Sequential(*layers)


def convnet_encoder(
    in_channels: int, widths: Sequence[int], *, levels: int, convolutions: int
) -> nn.Sequential:
    """Stages of orthogonal convolutions, each ending at half the resolution, as one vector.

    The convolutions of a stage are 3x3, but for the last one: that is 2x2 on the Haar bands of
    blocks of pixels, and so sees 4x4 pixels in steps of two (in the last stage 1x1, on 2x2
    pixels). MaxMin follows each.

    Args:
        in_channels: channels of the images.
        widths: channels of each stage, and of the result.
        levels: of the Haar transform that turns the images' pixels into channels first.
        convolutions: convolutions a stage.

    Source:
        S. Singla, S. Feizi, *Skew orthogonal convolutions*, arXiv 2105.11417 (LipConvNet).
    """
    layers, channels = _bands(in_channels, levels, 2 ** (len(widths) - 1))
    for stage, width in enumerate(widths[:-1]):
        for _ in range(convolutions - 1):
            layers += _mixing(channels, width, 3)
            channels = width
        kernel_size = 1 if stage == len(widths) - 2 else 2
        layers += [HaarWavelet(), *_mixing(4 * channels, widths[stage + 1], kernel_size)]
        channels = widths[stage + 1]
    return nn.Sequential(*layers, nn.Flatten())


def residual_encoder(
    in_channels: int,
    stem: int,
    widths: Sequence[int],
    *,
    levels: int,
    halve_first: bool,
    blocks: int,
) -> nn.Sequential:
    """An orthogonal 3x3 convolution, then stages of convex residual blocks.

    A block mixes its input half and half with two orthogonal 3x3 convolutions of it, MaxMin
    between them, and ends in MaxMin. It starts out as the identity. Every stage, the
    first only where asked, begins with the Haar bands of 2x2 pixels and an orthogonal 1x1
    convolution of them.

    Args:
        in_channels: channels of the images.
        stem: channels of the first convolution.
        widths: channels of each stage.
        levels: of the Haar transform that turns the images' pixels into channels first.
        halve_first: whether the first stage begins so too; otherwise it is as wide as the stem.
        blocks: blocks a stage.

    Source:
        J. Su, W. Byeon, F. Huang, arXiv 2106.09121 (residuals as convex combinations).
    """
    halvings = len(widths) if halve_first else len(widths) - 1
    layers, channels = _bands(in_channels, levels, 2**halvings)
    layers += _mixing(channels, stem, 3)
    channels = stem
    for stage, width in enumerate(widths):
        if stage > 0 or halve_first:
            layers += [HaarWavelet(), *_mixing(4 * channels, width, 1)]
        channels = width
        for _ in range(blocks):
            layers += [_residual_block(width), MaxMin()]
    return nn.Sequential(*layers)


def dense_encoder(
    in_channels: int,
    sides: Sequence[int],
    *,
    low_pass: int,
    features: int,
    depth: int,
    group_size: int,
) -> nn.Sequential:
    """Haar bands flattened, then orthogonal dense layers, GroupSort after each.

    The bands come with the low-pass first, and the first dense layer starts out by passing the
    leading ones on, where an image has most of its length; the others start at random.

    Args:
        in_channels: channels of the images.
        sides: their height and width.
        low_pass: halvings of the resolution before anything else, losing the rest.
        features: outputs of every dense layer.
        depth: number of dense layers.
        group_size: features that GroupSort sorts at a time.

    Source:
        C. Anil, J. Lucas, R. Grosse, *Sorting out Lipschitz function approximation*,
        arXiv 1811.05381.
    """
    block = 2 ** (low_pass + WAVELET_LEVELS)
    layers = _entrance(block)
    if low_pass:
        layers.append(HaarLowPass(low_pass))
    layers += [HaarWavelet(WAVELET_LEVELS), nn.Flatten()]
    blocks = math.prod(-(-side // block) for side in sides)
    before = in_channels * 4**WAVELET_LEVELS * blocks
    for position in range(depth):
        start: Initialisation = "identity" if position == 0 else "haar"
        layers += [
            OrthogonalLinear(before, features, bias=False, init=start),
            GroupSort(group_size),
        ]
        before = features
    return nn.Sequential(*layers)


def haar_encoder(in_channels: int, *, levels: int, depth: int, channels: int) -> nn.Sequential:
    """An orthonormal Haar low-pass, then orthogonal 3x3 convolutions at the low resolution.

    Args:
        in_channels: channels of the images.
        levels: halvings of the resolution.
        depth: convolutions after it, each followed by MaxMin.
        channels: channels of those convolutions.
    """
    layers = [*_entrance(2**levels), HaarLowPass(levels)]
    layers += _convolutions(in_channels, [(3, 1, channels)] * depth)
    return nn.Sequential(*layers)


def compressing_encoder(
    in_channels: int, *, levels: int, bands: int, depth: int, channels: int
) -> nn.Sequential:
    """Keep what noise leaves of an image, as few channels of few pixels.

    A Haar low-pass halves the sides ``levels`` times; the bands of one more Haar transform
    become channels. With ``bands`` the last low-pass step keeps some of its details too: a trained
    orthogonal 1x1 convolution narrows the four bands of every channel to that many.

    Args:
        in_channels: channels of the images.
        levels: halvings of the sides before the last, at least 1.
        bands: channels kept where the details would be lost; 0 to lose them.
        depth: orthogonal 3x3 convolutions at the end, each followed by MaxMin.
        channels: channels of those convolutions.
    """
    layers = _entrance(2 ** (levels + 1))
    lost = levels - 1 if bands else levels
    if lost:
        layers.append(HaarLowPass(lost))
    kept = in_channels
    if bands:
        narrow = OrthogonalConv2d(4 * in_channels, bands, 1, bias=False, init="identity")
        layers += [HaarWavelet(), narrow]
        kept = bands
    layers.append(HaarWavelet())
    layers += _convolutions(4 * kept, [(3, 1, channels)] * depth)
    return nn.Sequential(*layers)


def _entrance(multiple: int) -> list[nn.Module]:
    """Centre, and pad until both sides are multiples of a number."""
    padding = [ZeroPadToMultiple(multiple)] if multiple > 1 else []
    return [Center(), *padding]


def _bands(channels: int, levels: int, reduction: int) -> tuple[list[nn.Module], int]:
    """Centre, pad for what follows, and turn blocks of pixels into channels: their number too."""
    layers = _entrance(2**levels * reduction)
    if levels:
        layers.append(HaarWavelet(levels))
    return layers, channels * 4**levels


def _convolutions(channels: int, specs: Sequence[ConvolutionSpec]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for kernel_size, stride, out_channels in specs:
        layers += [
            OrthogonalConv2d(channels, out_channels, kernel_size, stride, bias=False),
            MaxMin(),
        ]
        channels = out_channels
    return layers


def _mixing(channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    """A convolution and MaxMin; one that narrows starts with the leading channels.

    After a Haar transform these are the low-pass ones, where an image has most of its length: a
    random start would lose as much of it as of everything else.
    """
    start: Initialisation = "identity" if out_channels < channels else "haar"
    return [
        OrthogonalConv2d(channels, out_channels, kernel_size, bias=False, init=start),
        MaxMin(),
    ]


def _residual_block(channels: int) -> ConvexResidual:
    def convolution() -> OrthogonalConv2d:
        return OrthogonalConv2d(channels, channels, 3, bias=False, init="identity")

    # After MaxMin, which every block follows, the branch starts as the identity: a random one
    # would point elsewhere than the input and cost a third of the length a block.
    branch = nn.Sequential(convolution(), MaxMin(), convolution())
    return ConvexResidual(branch, alpha=0.5, learnable=False)
