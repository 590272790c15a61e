"""ResNet-50 for images of ImageNet's size: on noisy pixels, and after an orthogonal first stage."""

from __future__ import annotations

from latentsmooth.errors import ConfigurationError
from latentsmooth.models.encoders import identity_encoder, residual_encoder
from latentsmooth.models.heads import foldable_residual_head
from latentsmooth.models.registry import LARGE_IMAGE_SIDE, BuildEntry, Pair, Shape, scaled
from latentsmooth.models.resnet import Bottleneck, residual_head
from latentsmooth.orthogonal import ZeroPadToMultiple

__all__ = ["BUILDS"]

STAGES = (256, 512, 1024, 2048)
"""Channels of ResNet-50's stages."""
BLOCKS = (3, 4, 6, 3)
"""Their blocks."""


def _resnet50(shape: Shape, classes: int, width: float) -> Pair:
    head = residual_head(
        shape[0],
        widths=_widths(width),
        strides=(1, 2, 2, 2),
        blocks=BLOCKS,
        num_classes=classes,
        stem=scaled(64, width),
        large_images=_is_large(shape),
        block=Bottleneck,
    )
    return identity_encoder(), head


def _lsrs_resnet50(
    shape: Shape, classes: int, width: float, blocks: int = 3, folded: int = 0
) -> Pair:
    if blocks < 0 or folded not in (0, 1):
        raise ConfigurationError(
            f"wanted blocks >= 0 and folded as 0 or 1, got {blocks} and {folded}"
        )
    levels = 2 if _is_large(shape) else 1
    # At width 1 as many numbers as pixels: growing would only add noise for the head to ignore.
    channels = scaled(shape[0] * 4**levels, width)
    encoder = residual_encoder(
        shape[0], channels, [channels], levels=levels, halve_first=False, blocks=blocks
    )
    widths = _widths(width)[1:]
    if not folded:
        head = residual_head(
            channels,
            widths=widths,
            strides=(2, 2, 2),
            blocks=BLOCKS[1:],
            num_classes=classes,
            block=Bottleneck,
        )
        return encoder, head
    # The layer halves the sides again, and padding inside the head would be left without noise.
    encoder.append(ZeroPadToMultiple(2))
    head = foldable_residual_head(
        channels,
        widths=widths,
        blocks=BLOCKS[1:],
        num_classes=classes,
        first=min(4 * channels, scaled(192, width)),
        block=Bottleneck,
    )
    return encoder, head


def _widths(width: float) -> list[int]:
    """Channels of all stages, with an even number inside each bottleneck."""
    return [scaled(count, width, multiple=8) for count in STAGES]


def _is_large(shape: Shape) -> bool:
    return min(shape[1:]) >= LARGE_IMAGE_SIDE


BUILDS = {
    "lsrs-resnet50": BuildEntry(
        _lsrs_resnet50,
        "LSRS for ImageNet: an orthogonal stem and first stage of residual blocks on Haar bands, "
        "ResNet-50 stages 2 to 4. With folded=1 an orthogonal layer, run before the noise, does "
        "their first halving.",
    ),
    "resnet50": BuildEntry(_resnet50, "ISRS rival: ResNet-50 on noisy pixels."),
}
