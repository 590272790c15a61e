"""The ISRS rivals: common networks on noisy pixels."""

from __future__ import annotations

from torch import nn

from latentsmooth.models.encoders import identity_encoder
from latentsmooth.models.heads import cifar_resnet_head, lenet_mlp, resnet18_head
from latentsmooth.models.registry import BuildEntry, Pair, Shape, wide

__all__ = ["BUILDS"]


def _resnet18(shape: Shape, classes: int, width: float) -> Pair:
    return identity_encoder(), resnet18_head(shape[0], shape, classes, width)


def _resnet20(shape: Shape, classes: int, width: float) -> Pair:
    return identity_encoder(), cifar_resnet_head(shape, classes, width, blocks=3)


def _resnet110(shape: Shape, classes: int, width: float) -> Pair:
    return identity_encoder(), cifar_resnet_head(shape, classes, width, blocks=18)


def _lenet(shape: Shape, classes: int, width: float) -> Pair:
    first, second = wide((6, 16), width)
    features = second * (shape[1] // 4) * (shape[2] // 4)
    head = nn.Sequential(
        nn.Conv2d(shape[0], first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        lenet_mlp(features, classes, width),
    )
    return identity_encoder(), head


BUILDS = {
    "resnet18": BuildEntry(_resnet18, "ISRS rival: ResNet-18 on noisy pixels."),
    "resnet20": BuildEntry(_resnet20, "ISRS rival: the CIFAR ResNet-20 on noisy pixels."),
    "resnet110": BuildEntry(_resnet110, "ISRS rival: the CIFAR ResNet-110 on noisy pixels."),
    "lenet": BuildEntry(_lenet, "ISRS rival: LeNet with ReLU on noisy pixels."),
}
