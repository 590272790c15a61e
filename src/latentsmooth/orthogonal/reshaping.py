"""Changes of shape that never lengthen a vector."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ShapeError

__all__ = ["HaarLowPass", "InvertibleDownsample", "ZeroPadToMultiple"]


class InvertibleDownsample(nn.Module):
    """Move each ``factor x factor`` block of pixels into channels: a permutation.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c * factor^2, h / factor, w / factor)``.
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        if factor < 1:
            raise ShapeError(f"wanted a factor of at least 1, got {factor}")
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Rearrange pixels into channels."""
        _check_divisible(images, self.factor)
        return F.pixel_unshuffle(images, self.factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"factor={self.factor}"


class HaarLowPass(nn.Module):
    """Keep the low-pass band of an orthonormal Haar transform: 2x2 mean times 2, ``levels`` times.

    A co-isometry. Isotropic noise added afterwards has one quarter of the coordinates a level,
    while a smooth image keeps its norm: the signal-to-noise ratio of every pixel doubles.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c, h / 2^levels, w / 2^levels)``.
    """

    def __init__(self, levels: int = 1) -> None:
        super().__init__()
        if levels < 1:
            raise ShapeError(f"wanted at least one level, got {levels}")
        self.levels = levels

    def forward(self, images: Tensor) -> Tensor:
        """Average blocks of ``2^levels`` pixels a side and restore the norm."""
        block = 2**self.levels
        _check_divisible(images, block)
        # A power of two times an average: exact in floating point but for the sum itself.
        return F.avg_pool2d(images, block) * float(block)

    def extra_repr(self) -> str:
        """The number of levels."""
        return f"levels={self.levels}"


class ZeroPadToMultiple(nn.Module):
    """Pad the right and bottom with zeros until both sides are multiples of a number.

    An isometry; it lets strided encoders take any image size.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c, h', w')``, the next multiples.
    """

    def __init__(self, multiple: int) -> None:
        super().__init__()
        if multiple < 1:
            raise ShapeError(f"wanted a multiple of at least 1, got {multiple}")
        self.multiple = multiple

    def forward(self, images: Tensor) -> Tensor:
        """Pad with zeros; images that fit already pass unchanged."""
        down, right = (-side % self.multiple for side in images.shape[-2:])
        return F.pad(images, (0, right, 0, down)) if down or right else images

    def extra_repr(self) -> str:
        """The multiple."""
        return f"multiple={self.multiple}"


def _check_divisible(images: Tensor, factor: int) -> None:
    if images.ndim != 4 or images.shape[2] % factor or images.shape[3] % factor:
        raise ShapeError(
            f"expected images of shape (batch, channels, height, width) with sides in multiples "
            f"of {factor}, got {tuple(images.shape)}"
        )
