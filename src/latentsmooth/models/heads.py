"""Heads that several builds share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from latentsmooth.models.registry import LARGE_IMAGE_SIDE, Shape, scaled, wide
from latentsmooth.models.resnet import residual_head
from latentsmooth.orthogonal import OrthogonalConv2d

__all__ = [
    "cifar_resnet_head",
    "foldable_residual_head",
    "lenet_mlp",
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
    in_channels: int, *, widths: Sequence[int], blocks: Sequence[int], num_classes: int
) -> nn.Sequential:
    """A residual head whose first layer can be run before the noise.

    It begins with an orthogonal 4x4 convolution of stride 2 with orthonormal rows. Such a map of
    isotropic noise is isotropic noise, so certification moves the layer into the encoder
    (`latentsmooth.smoothing.folding.fold`): fewer normals a draw, and its arithmetic once an
    image. Batch norm, ReLU, the stages, average pool and a linear layer follow.

    Args:
        in_channels: channels of the latent, whose sides must be even.
        widths: channels of each stage; the first at most four times ``in_channels``.
        blocks: blocks of each stage.
        num_classes: outputs.
    """
    layer = OrthogonalConv2d(in_channels, widths[0], 4, stride=2, bias=False)
    rest = residual_head(
        widths[0],
        widths=widths,
        strides=[1] + [2] * (len(widths) - 1),
        blocks=blocks,
        num_classes=num_classes,
    )
    return nn.Sequential(layer, nn.BatchNorm2d(widths[0]), nn.ReLU(), *rest)
