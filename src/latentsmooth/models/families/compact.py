"""The LSRS build whose head is as cheap as the noise allows."""

from __future__ import annotations

from torch import nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.models.encoders import compressing_encoder
from latentsmooth.models.registry import BuildEntry, Pair, Shape, wide
from latentsmooth.models.resnet import BasicBlock

__all__ = ["BUILDS"]


def _compact(
    shape: Shape,
    classes: int,
    width: float,
    levels: int = 1,
    bands: int = 0,
    depth: int = 0,
    channels: int = 0,
    blocks: int = 0,
) -> Pair:
    if min(bands, depth, channels, blocks) < 0:
        raise ConfigurationError(
            "wanted bands, depth, channels and blocks >= 0, "
            f"got {bands}, {depth}, {channels} and {blocks}"
        )
    if levels < 1 or 2 ** (levels + 1) > min(shape[1:]):
        raise ConfigurationError(
            f"wanted levels >= 1 that leave some of {shape[1]}x{shape[2]} pixels, got {levels}"
        )
    if bands > 4 * shape[0]:
        raise ConfigurationError(f"wanted bands <= {4 * shape[0]}, got {bands}")
    before = 4 * (bands or shape[0])
    hidden = channels or before
    encoder = compressing_encoder(
        shape[0], levels=levels, bands=bands, depth=depth, channels=hidden
    )
    return encoder, _head(hidden if depth else before, classes, width, blocks)


def _head(channels: int, classes: int, width: float, blocks: int) -> nn.Sequential:
    """A stem, a second convolution or some residual blocks, and two blocks that halve the sides.

    Every convolution costs about the same: where the sides are halved the channels double. The
    widths are those of ResNet-18's later stages, at whose resolutions they work.
    """
    first, second, third = wide((128, 256, 512), width)
    layers = _convolution(channels, first)
    if blocks:
        layers += [BasicBlock(first, first) for _ in range(blocks)]
    else:
        layers += _convolution(first, first)
    layers += [BasicBlock(first, second, 2), BasicBlock(second, third, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(third, classes))


def _convolution(channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


BUILDS = {
    "lsrs-compact": BuildEntry(
        _compact,
        "LSRS, cheapest: Haar bands of a low-pass as channels of a quarter of the sides, then six "
        "convolutions. bands: channels that a trained compression keeps of the last low-pass's "
        "details; depth, channels: orthogonal layers; blocks: more of the head.",
    ),
}
