"""LSRS builds whose encoder is a Haar low-pass, with heads made to be cheap."""

from __future__ import annotations

from torch import nn

from latentsmooth.errors import ConfigurationError
from latentsmooth.models.encoders import haar_encoder
from latentsmooth.models.heads import convnext_head, depthwise_head, mixer_head
from latentsmooth.models.registry import BuildEntry, Pair, Shape, check_levels, scaled, wide
from latentsmooth.orthogonal import ZeroPadToMultiple

__all__ = ["BUILDS"]

LARGE_LATENT_SIDE = 64
"""From this side on, the stem halves once more."""
SMALLEST_SIDE = 4
"""No stage is added for sides up to this."""


def _convnext(shape: Shape, classes: int, width: float, levels: int = 1, depth: int = 2) -> Pair:
    encoder, sides, halvings = _low_pass(shape, levels, depth, halvings=1)
    head = convnext_head(
        shape[0],
        sides,
        widths=wide((96, 192, 384)[: _stages(sides, halvings)], width),
        depth=depth,
        halvings=halvings,
        num_classes=classes,
    )
    return encoder, head


def _depthwise(shape: Shape, classes: int, width: float, levels: int = 1, depth: int = 3) -> Pair:
    encoder, sides, halvings = _low_pass(shape, levels, depth, halvings=1)
    head = depthwise_head(
        shape[0],
        widths=wide((128, 256, 512)[: _stages(sides, halvings)], width),
        depth=depth,
        halvings=halvings,
        num_classes=classes,
    )
    return encoder, head


def _mixer(shape: Shape, classes: int, width: float, levels: int = 1, depth: int = 6) -> Pair:
    encoder, sides, halvings = _low_pass(shape, levels, depth, halvings=2)
    head = mixer_head(
        shape[0],
        sides,
        channels=scaled(128, width),
        depth=depth,
        halvings=halvings,
        num_classes=classes,
    )
    return encoder, head


def _low_pass(
    shape: Shape, levels: int, depth: int, *, halvings: int
) -> tuple[nn.Sequential, list[int], int]:
    """The encoder, the sides of its latents, and how often the stem halves those."""
    if depth < 1:
        raise ConfigurationError(f"wanted depth >= 1, got {depth}")
    check_levels(shape, levels)
    sides = [-(-side // 2**levels) for side in shape[1:]]
    if min(sides) >= LARGE_LATENT_SIDE:
        halvings += 1
    encoder = haar_encoder(shape[0], levels=levels, depth=0, channels=shape[0])
    # The stem takes multiples, and padding inside the head would be left without noise.
    encoder.append(ZeroPadToMultiple(2**halvings))
    return encoder, [-(-side // 2**halvings) * 2**halvings for side in sides], halvings


def _stages(sides: list[int], halvings: int) -> int:
    """Stages until the shorter side is small, at most three."""
    side, stages = min(sides) // 2**halvings, 1
    while side > SMALLEST_SIDE and stages < 3:
        side, stages = -(-side // 2), stages + 1
    return stages


BUILDS = {
    "lsrs-convnext": BuildEntry(
        _convnext,
        "LSRS, cheap: Haar low-pass, then stages of ConvNeXt-like blocks, depth in each.",
    ),
    "lsrs-depthwise": BuildEntry(
        _depthwise,
        "LSRS, cheap: Haar low-pass, then stages of MobileNet-like depthwise blocks, depth in "
        "each.",
    ),
    "lsrs-mixer": BuildEntry(
        _mixer, "LSRS, cheap: Haar low-pass, then an MLP-Mixer on patches, depth blocks of it."
    ),
}
