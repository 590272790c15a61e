"""LSRS builds whose encoder is a whole orthogonal network, and whose head is small."""

from __future__ import annotations

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.models.encoders import (
    WAVELET_LEVELS,
    convnet_encoder,
    dense_encoder,
    residual_encoder,
)
from latentsmooth.models.heads import small_mlp, small_resnet_head
from latentsmooth.models.registry import (
    LARGE_IMAGE_SIDE,
    BuildEntry,
    Pair,
    Shape,
    scaled,
    wide,
)

__all__ = ["BUILDS"]

LARGEST_DENSE = 4096
"""Most inputs of a dense layer."""


def _convnet(shape: Shape, classes: int, width: float, depth: int = 10) -> Pair:
    if depth < 5 or depth % 5:
        raise ConfigurationError(f"wanted depth as a multiple of 5 from 5 on, got {depth}")
    levels = _levels(shape)
    widths = wide((32, 64, 128, 256, 512, 512), width)
    encoder = convnet_encoder(shape[0], widths, levels=levels, convolutions=depth // 5)
    rows, columns = (-(-side // 2 ** (levels + 5)) for side in shape[1:])
    return encoder, small_mlp(widths[-1] * rows * columns, classes, width)


def _resnet(shape: Shape, classes: int, width: float, blocks: int = 2) -> Pair:
    if blocks < 1:
        raise ConfigurationError(f"wanted blocks >= 1, got {blocks}")
    widths = wide((32, 64, 128, 256), width)
    encoder = residual_encoder(
        shape[0], widths[0], widths, levels=_levels(shape), halve_first=False, blocks=blocks
    )
    return encoder, small_resnet_head(widths[-1], classes, width)


def _wideresnet(shape: Shape, classes: int, width: float, widen: int = 4) -> Pair:
    if widen < 1:
        raise ConfigurationError(f"wanted widen >= 1, got {widen}")
    levels = _levels(shape)
    # On blocks of pixels the stem has more to pass on.
    stem = scaled(16 * 2**levels, width)
    widths = wide([16 * widen, 32 * widen, 64 * widen], width)
    encoder = residual_encoder(shape[0], stem, widths, levels=levels, halve_first=True, blocks=1)
    return encoder, small_resnet_head(widths[-1], classes, width)


def _lipnet(shape: Shape, classes: int, width: float, depth: int = 3, group_size: int = 2) -> Pair:
    if depth < 1 or group_size < 2:
        raise ConfigurationError(
            f"wanted depth >= 1 and group_size >= 2, got {depth} and {group_size}"
        )
    features = scaled(512, width, multiple=group_size)
    encoder = dense_encoder(
        shape[0],
        shape[1:],
        low_pass=_low_pass_levels(shape),
        features=features,
        depth=depth,
        group_size=group_size,
    )
    return encoder, small_mlp(features, classes, width)


def _levels(shape: Shape) -> int:
    """Halvings that bring the shorter side down to what the stages are made for."""
    side = min(shape[1:])
    wanted = 64 if side >= LARGE_IMAGE_SIDE else 32
    levels = 0
    while side > wanted * 2**levels:
        levels += 1
    return levels


def _low_pass_levels(shape: Shape) -> int:
    """How often the sides are halved until the pixels fit into the widest dense layer."""
    channels, *sides = shape
    for levels in range(max(sides).bit_length()):
        block = 2 ** (levels + WAVELET_LEVELS)
        rows, columns = (-(-side // block) for side in sides)
        if channels * 4**WAVELET_LEVELS * rows * columns <= LARGEST_DENSE:
            return levels
    raise ShapeError(
        f"lsrs-lipnet flattens images and takes at most {LARGEST_DENSE // 4**WAVELET_LEVELS} "
        f"channels, got image_shape {shape}"
    )


BUILDS = {
    "lsrs-convnet": BuildEntry(
        _convnet, "LSRS: orthogonal convolutions in five stages down to one pixel, then an MLP."
    ),
    "lsrs-resnet": BuildEntry(
        _resnet, "LSRS: stages of orthogonal residual blocks, then two ResNet blocks."
    ),
    "lsrs-wideresnet": BuildEntry(
        _wideresnet, "LSRS: an orthogonal wide ResNet of depth 10, then two ResNet blocks."
    ),
    "lsrs-lipnet": BuildEntry(
        _lipnet, "LSRS: orthogonal dense layers with sorting on Haar bands, then an MLP."
    ),
}
