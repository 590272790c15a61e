"""Random shifts and mirror images for training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["random_crop_flip"]


def random_crop_flip(
    images: Tensor, *, generator: torch.Generator, padding: int = 4, flip: bool = True
) -> Tensor:
    """Shift each image by up to ``padding`` pixels, black where nothing was, and mirror half.

    Draws are made on the generator's device, three an image (two shifts, one mirror), so that one
    seed gives the same result wherever the images are.

    Args:
        images: (b, channels, height, width), any dtype.
        generator: source of the draws.
        padding: largest shift, in pixels.
        flip: whether images are mirrored left to right with probability 1/2.

    Returns:
        (b, channels, height, width), a new tensor.

    Raises:
        ShapeError: ``images`` is not four-dimensional.
        ConfigurationError: ``padding`` is negative.

    >>> images = torch.rand(8, 3, 32, 32)
    >>> random_crop_flip(images, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([8, 3, 32, 32])
    """
    if images.ndim != 4:
        raise ShapeError(
            f"expected images of shape (b, channels, height, width), got {tuple(images.shape)}"
        )
    if padding < 0:
        raise ConfigurationError(f"padding is {padding}; expected at least 0")
    count, _, height, width = images.shape

    def draw(values: int) -> Tensor:
        drawn = torch.randint(values, (count,), generator=generator, device=generator.device)
        return drawn.to(images.device)

    down, right, mirrored = draw(2 * padding + 1), draw(2 * padding + 1), draw(2).bool()
    padded = functional.pad(images, (padding, padding, padding, padding))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    moved = windows[torch.arange(count, device=images.device), :, down, right]
    if not flip:
        return moved
    return torch.where(mirrored[:, None, None, None], moved.flip(-1), moved)
