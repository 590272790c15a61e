"""The cheap LSRS build, and the LSRS reference networks."""

from __future__ import annotations

from torch import nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.models.encoders import convolutional_encoder, haar_encoder
from latentsmooth.models.heads import foldable_residual_head, lenet_mlp, resnet18_head
from latentsmooth.models.registry import (
    LARGE_IMAGE_SIDE,
    BuildEntry,
    Pair,
    Shape,
    check_channels,
    check_levels,
    scaled,
    wide,
)
from latentsmooth.models.resnet import residual_head
from latentsmooth.orthogonal import ZeroPadToMultiple

__all__ = ["BUILDS"]


def _haar(
    shape: Shape,
    classes: int,
    width: float,
    levels: int = 1,
    depth: int = 0,
    channels: int = 0,
) -> Pair:
    if depth < 0 or channels < 0:
        raise ConfigurationError(f"wanted depth and channels >= 0, got {depth} and {channels}")
    check_channels(channels, depth)
    check_levels(shape, levels, least=0)
    hidden = channels or shape[0]
    encoder = haar_encoder(shape[0], levels=levels, depth=depth, channels=hidden)
    widths = wide((64, 128, 256), width)
    head = residual_head(
        hidden if depth else shape[0],
        widths=widths,
        strides=(1, 2, 2),
        blocks=2,
        num_classes=classes,
        stem=widths[0],
        large_images=min(shape[1:]) // 2**levels >= LARGE_IMAGE_SIDE,
    )
    return encoder, head


def _partial(shape: Shape, classes: int, width: float, folded: int = 0) -> Pair:
    if folded not in (0, 1, 2):
        raise ConfigurationError(f"wanted folded as 0, 1 or 2, got {folded}")
    narrow, broad = scaled(64, width), scaled(128, width)
    encoder = convolutional_encoder(shape[0], [(3, 1, narrow), (3, 1, narrow), (6, 2, broad)])
    widths = wide((256, 512), width)
    if not folded:
        head = residual_head(broad, widths=widths, strides=(2, 2), blocks=2, num_classes=classes)
        return encoder, head
    # The layer halves the sides again, and padding inside the head would be left without noise.
    encoder.append(ZeroPadToMultiple(2))
    head = foldable_residual_head(broad, widths=widths, blocks=(folded, 2), num_classes=classes)
    return encoder, head


def _latent(shape: Shape, classes: int, width: float) -> Pair:
    first, second, third, fourth = wide((64, 128, 256, 512), width)
    specs = [(6, 2, first), (6, 2, first), (6, 2, second), (2, 2, third), (2, 2, fourth)]
    encoder = convolutional_encoder(shape[0], specs, flatten=True)
    sides = [-(-side // 32) for side in shape[1:]]
    return encoder, nn.Linear(fourth * sides[0] * sides[1], classes)


def _preprocessor(shape: Shape, classes: int, width: float) -> Pair:
    widths = wide((6, 16, 32, 64), width)
    encoder = convolutional_encoder(shape[0], [(3, 1, count) for count in widths])
    return encoder, resnet18_head(widths[-1], shape, classes, width)


def _lenet(shape: Shape, classes: int, width: float) -> Pair:
    first, second = wide((6, 16), width)
    encoder = convolutional_encoder(shape[0], [(4, 2, first), (4, 2, second)], flatten=True)
    features = second * -(-shape[1] // 4) * -(-shape[2] // 4)
    return encoder, lenet_mlp(features, classes, width)


BUILDS = {
    "lsrs-haar": BuildEntry(
        _haar, "LSRS, cheap: Haar low-pass, then a small ResNet on the low resolution."
    ),
    "lsrs-partial": BuildEntry(
        _partial,
        "LSRS reference: three orthogonal layers, ResNet-18 stages 3 and 4. With folded=1 an "
        "orthogonal layer, run before the noise, replaces the first block, with 2 precedes it.",
    ),
    "lsrs-latent": BuildEntry(
        _latent, "LSRS reference: five orthogonal layers, then a linear head."
    ),
    "lsrs-preprocessor": BuildEntry(
        _preprocessor, "LSRS reference: four orthogonal layers, then a whole ResNet-18."
    ),
    "lsrs-lenet": BuildEntry(
        _lenet, "LSRS reference: LeNet's two convolutions made orthogonal, then its MLP."
    ),
}
