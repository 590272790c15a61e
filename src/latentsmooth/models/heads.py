"""Heads that several builds share."""

from __future__ import annotations

from torch import nn

from latentsmooth.models.registry import LARGE_IMAGE_SIDE, Shape, scaled, wide
from latentsmooth.models.resnet import residual_head

__all__ = ["cifar_resnet_head", "lenet_mlp", "resnet18_head", "small_mlp", "small_resnet_head"]


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
