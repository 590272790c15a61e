"""The LSRS builds whose heads are as cheap as the noise allows."""

from __future__ import annotations

from torch import nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.models.blocks import ResidualConvolution, convolution
from latentsmooth.models.encoders import compressing_encoder
from latentsmooth.models.registry import BuildEntry, Pair, Shape, check_channels, check_levels, wide
from latentsmooth.models.resnet import BasicBlock

__all__ = ["BUILDS"]

LARGEST_DENSE_SIDE = 4
"""A dense layer takes images up to this side; larger ones are halved first."""


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
    check_channels(channels, depth)
    _check_latent(shape, levels, bands)
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
    layers = convolution(channels, first)
    if blocks:
        layers += [BasicBlock(first, first) for _ in range(blocks)]
    else:
        layers += convolution(first, first)
    layers += [BasicBlock(first, second, 2), BasicBlock(second, third, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(third, classes))


def _dense(
    shape: Shape, classes: int, width: float, levels: int = 1, bands: int = 0, blocks: int = 3
) -> Pair:
    if min(bands, blocks) < 0:
        raise ConfigurationError(f"wanted bands and blocks >= 0, got {bands} and {blocks}")
    _check_latent(shape, levels, bands)
    channels = 4 * (bands or shape[0])
    encoder = compressing_encoder(shape[0], levels=levels, bands=bands, depth=0, channels=channels)
    sides = [-(-side // 2 ** (levels + 1)) for side in shape[1:]]
    return encoder, _dense_head(channels, sides, classes, width, blocks)


def _dense_head(
    channels: int, sides: list[int], classes: int, width: float, blocks: int
) -> nn.Sequential:
    """A stem, residual convolutions at each half of the sides, then a dense layer of all that.

    On few pixels a dense layer is cheaper than 3x3 convolutions, of which padding wastes half, and
    it sees where things are, which an average pool does not.
    """
    kept, hidden = wide((256, 2048), width)
    layers = convolution(channels, kept)
    while max(sides) > LARGEST_DENSE_SIDE:
        # The least padding after which blocks of 2x2 cover every pixel.
        padding = (sides[0] % 2, sides[1] % 2)
        layers += convolution(kept, kept, 2, stride=2, padding=padding)
        layers += [ResidualConvolution(kept) for _ in range(blocks)]
        sides = [-(-side // 2) for side in sides]
    dense = nn.Linear(kept * sides[0] * sides[1], hidden, bias=False)
    layers += [nn.Flatten(), dense, nn.BatchNorm1d(hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, classes))


def _check_latent(shape: Shape, levels: int, bands: int) -> None:
    check_levels(shape, levels, more=1)
    if bands > 4 * shape[0]:
        raise ConfigurationError(f"wanted bands <= {4 * shape[0]}, got {bands}")


BUILDS = {
    "lsrs-compact": BuildEntry(
        _compact,
        "LSRS, cheapest: Haar bands of a low-pass as channels of a quarter of the sides, then six "
        "convolutions. bands: channels that a trained compression keeps of the last low-pass's "
        "details; depth, channels: orthogonal layers; blocks: more of the head.",
    ),
    "lsrs-dense": BuildEntry(
        _dense,
        "LSRS, most accurate for its cost: latents as of lsrs-compact, then one convolution, some "
        "more on a quarter of the positions (blocks, 3) and a dense layer. bands: as there.",
    ),
}
