"""Heads that several builds share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from latentsmooth.models.blocks import ConvNextBlock, DepthwiseBlock, MixerBlock, TokenMean, Tokens
from latentsmooth.models.registry import LARGE_IMAGE_SIDE, Shape, scaled, wide
from latentsmooth.models.resnet import BasicBlock, Block, residual_head
from latentsmooth.orthogonal import HaarWavelet, Initialisation, OrthogonalConv2d

__all__ = [
    "cifar_resnet_head",
    "convnext_head",
    "depthwise_head",
    "foldable_residual_head",
    "foldable_stem",
    "lenet_mlp",
    "mixer_head",
    "resnet18_head",
    "small_mlp",
    "small_resnet_head",
]


def resnet18_head(in_channels: int, shape: Shape, classes: int, width: float) -> nn.Sequential:
    """ResNet-18 on what the encoder made of images of a shape without reducing them."""
    widths = wide((64, 128, 256, 512), width)
    return residual_head(
        in_channels,
        widths=widths,
        strides=(1, 2, 2, 2),
        blocks=2,
        num_classes=classes,
        stem=widths[0],
        large_images=min(shape[1:]) >= LARGE_IMAGE_SIDE,
    )


def cifar_resnet_head(shape: Shape, classes: int, width: float, *, blocks: int) -> nn.Sequential:
    """The CIFAR ResNet of three stages: 20 layers with 3 blocks a stage, 110 with 18."""
    widths = wide((16, 32, 64), width)
    return residual_head(
        shape[0],
        widths=widths,
        strides=(1, 2, 2),
        blocks=blocks,
        num_classes=classes,
        stem=widths[0],
    )


def lenet_mlp(features: int, classes: int, width: float) -> nn.Sequential:
    """LeNet's dense layers."""
    hidden = scaled(84, width)
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def small_mlp(features: int, classes: int, width: float) -> nn.Sequential:
    """One hidden layer of 256, for latents that are vectors."""
    hidden = scaled(256, width)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def small_resnet_head(channels: int, classes: int, width: float) -> nn.Sequential:
    """Two basic blocks, of 64 and 128 channels, for latents of few pixels."""
    return residual_head(
        channels, widths=wide((64, 128), width), strides=(1, 2), blocks=1, num_classes=classes
    )


def foldable_residual_head(
    in_channels: int,
    *,
    widths: Sequence[int],
    blocks: Sequence[int],
    num_classes: int,
    first: int | None = None,
    block: Block = BasicBlock,
) -> nn.Sequential:
    """A residual head whose first layer can be run before the noise.

    It begins with an orthogonal 4x4 convolution of stride 2 with orthonormal rows. Such a map of
    isotropic noise is isotropic noise, so certification moves the layer into the encoder
    (`latentsmooth.smoothing.folding.fold`): fewer normals a draw, and its arithmetic once an
    image. Batch norm, ReLU, the stages, average pool and a linear layer follow.

    Args:
        in_channels: channels of the latent, whose sides must be even.
        widths: channels of each stage.
        blocks: blocks of each stage.
        num_classes: outputs.
        first: channels after that layer, at most four times ``in_channels``; by default those of
            the first stage.
        block: what the stages are made of.
    """
    channels = widths[0] if first is None else first
    layer = OrthogonalConv2d(in_channels, channels, 4, stride=2, bias=False)
    rest = residual_head(
        channels,
        widths=widths,
        strides=[1] + [2] * (len(widths) - 1),
        blocks=blocks,
        num_classes=num_classes,
        block=block,
    )
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU(), *rest)


def foldable_stem(
    in_channels: int, channels: int, *, halvings: int, kernel_size: int
) -> list[nn.Module]:
    """Haar bands and an orthogonal convolution of them: linear, with orthonormal rows.

    As the beginning of a head they can be run before the noise, see `foldable_residual_head`.
    They never grow: where more channels are wanted than there are bands, a 1x1 convolution, which
    stays behind the noise, makes them. A convolution that narrows starts with the low-pass bands.

    Args:
        in_channels: channels of the latent, whose sides must be multiples of ``2**halvings``.
        channels: of the result.
        halvings: of the sides.
        kernel_size: of the convolution, in pixels of the result; circular.
    """
    bands = in_channels * 4**halvings
    start: Initialisation = "identity" if channels < bands else "haar"
    layers: list[nn.Module] = [
        HaarWavelet(halvings),
        OrthogonalConv2d(bands, min(bands, channels), kernel_size, bias=False, init=start),
    ]
    if channels > bands:
        layers.append(nn.Conv2d(bands, channels, 1, bias=False))
    return layers


def convnext_head(
    in_channels: int,
    sides: Sequence[int],
    *,
    widths: Sequence[int],
    depth: int,
    halvings: int,
    num_classes: int,
) -> nn.Sequential:
    """A foldable stem, then stages of ConvNeXt blocks with 2x2 convolutions of stride 2 between.

    Args:
        in_channels: channels of the latent.
        sides: its height and width, multiples of ``2**halvings``.
        widths: channels of each stage.
        depth: blocks a stage.
        halvings: of the sides in the stem.
        num_classes: outputs.
    """
    layers = foldable_stem(in_channels, widths[0], halvings=halvings, kernel_size=2)
    layers.append(nn.BatchNorm2d(widths[0]))
    rows, columns = (side // 2**halvings for side in sides)
    before = widths[0]
    for stage, width in enumerate(widths):
        if stage:
            # An odd side has its border padded on both ends, so that no pixel is left out.
            odd = (rows % 2, columns % 2)
            layers += [
                nn.Conv2d(before, width, 2, stride=2, padding=odd, bias=False),
                nn.BatchNorm2d(width),
            ]
            rows, columns = -(-rows // 2), -(-columns // 2)
        layers += [ConvNextBlock(width) for _ in range(depth)]
        before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes)]
    return nn.Sequential(*layers)


def depthwise_head(
    in_channels: int, *, widths: Sequence[int], depth: int, halvings: int, num_classes: int
) -> nn.Sequential:
    """A foldable stem, then stages of depthwise separable blocks, each but the first halving.

    Args:
        in_channels: channels of the latent.
        widths: channels of each stage.
        depth: blocks a stage.
        halvings: of the sides in the stem.
        num_classes: outputs.
    """
    layers = foldable_stem(in_channels, widths[0], halvings=halvings, kernel_size=2)
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    before = widths[0]
    for stage, width in enumerate(widths):
        for position in range(depth):
            layers.append(DepthwiseBlock(before, width, 2 if stage and not position else 1))
            before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes)]
    return nn.Sequential(*layers)


def mixer_head(
    in_channels: int,
    sides: Sequence[int],
    *,
    channels: int,
    depth: int,
    halvings: int,
    num_classes: int,
) -> nn.Sequential:
    """A foldable stem of patches that do not overlap, then MLP-Mixer blocks on them.

    Args:
        in_channels: channels of the latent.
        sides: its height and width, multiples of ``2**halvings``.
        channels: of each patch.
        depth: number of blocks.
        halvings: a patch has ``2**halvings`` pixels a side.
        num_classes: outputs.
    """
    tokens = math.prod(side // 2**halvings for side in sides)
    return nn.Sequential(
        *foldable_stem(in_channels, channels, halvings=halvings, kernel_size=1),
        Tokens(),
        *(MixerBlock(tokens, channels) for _ in range(depth)),
        nn.LayerNorm(channels),
        TokenMean(),
        nn.Linear(channels, num_classes),
    )
