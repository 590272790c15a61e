"""Changes of shape that never lengthen a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ShapeError

__all__ = [
    "ChannelShuffle",
    "HaarLowPass",
    "HaarWavelet",
    "InvertibleDownsample",
    "InvertibleUpsample",
    "ZeroPadToMultiple",
    "check_sides",
]


class InvertibleDownsample(nn.Module):
    """Move each ``factor x factor`` block of pixels into channels: a permutation.

    Args:
        factor: pixels of a block's side.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c * factor^2, h / factor, w / factor)``.

    Example:
        >>> layer = InvertibleDownsample(2)
        >>> x = torch.randn(1, 3, 4, 4)
        >>> bool((layer.inverse(layer(x)) == x).all())
        True
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        if factor < 1:
            raise ShapeError(f"wanted a factor of at least 1, got {factor}")
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Rearrange pixels into channels."""
        check_sides(images, self.factor)
        return F.pixel_unshuffle(images, self.factor)

    def inverse(self, blocks: Tensor) -> Tensor:
        """Rearrange channels into pixels: the shapes of `forward`, read backwards."""
        _check_blocks(blocks, self.factor)
        return F.pixel_shuffle(blocks, self.factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"factor={self.factor}"


class InvertibleUpsample(nn.Module):
    """Move channels into ``factor x factor`` blocks of pixels: a permutation.

    The inverse of `InvertibleDownsample`.

    Args:
        factor: pixels of a block's side.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c / factor^2, h * factor, w * factor)``.

    Example:
        >>> InvertibleUpsample(2)(torch.randn(1, 8, 4, 4)).shape
        torch.Size([1, 2, 8, 8])
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        if factor < 1:
            raise ShapeError(f"wanted a factor of at least 1, got {factor}")
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Rearrange channels into pixels."""
        _check_blocks(images, self.factor)
        return F.pixel_shuffle(images, self.factor)

    def inverse(self, images: Tensor) -> Tensor:
        """Rearrange pixels into channels: the shapes of `forward`, read backwards."""
        check_sides(images, self.factor)
        return F.pixel_unshuffle(images, self.factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"factor={self.factor}"


class HaarLowPass(nn.Module):
    """Keep the low-pass band of an orthonormal Haar transform: 2x2 mean times 2, ``levels`` times.

    A co-isometry. Isotropic noise added afterwards has one quarter of the coordinates a level,
    while a smooth image keeps its norm: the signal-to-noise ratio of every pixel doubles.

    Args:
        levels: how often the sides are halved.

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
        check_sides(images, block)
        # A power of two times an average: exact in floating point but for the sum itself.
        return F.avg_pool2d(images, block) * float(block)

    def extra_repr(self) -> str:
        """The number of levels."""
        return f"levels={self.levels}"


class HaarWavelet(nn.Module):
    """The full orthonormal Haar transform of ``2 x 2`` blocks, ``levels`` times: an isometry.

    A level turns ``c`` channels into four bands of ``c`` channels: low-pass, then differences
    along the width, along the height, and along both. The next level transforms all of them, not
    the low-pass alone, so that the result is one tensor; its first ``c`` channels are always
    `HaarLowPass` of as many levels.

    Args:
        levels: how often the sides are halved.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c * 4^levels, h / 2^levels, w / 2^levels)``.

    Source:
        A. Haar, *Zur Theorie der orthogonalen Funktionensysteme* (1910).

    Example:
        >>> HaarWavelet()(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])).flatten()
        tensor([ 6., -2., -3.,  1.])
    """

    def __init__(self, levels: int = 1) -> None:
        super().__init__()
        if levels < 1:
            raise ShapeError(f"wanted at least one level, got {levels}")
        self.levels = levels

    def forward(self, images: Tensor) -> Tensor:
        """Transform images into bands of channels."""
        check_sides(images, 2**self.levels)
        for _ in range(self.levels):
            top, bottom = torch.unflatten(images, 2, (-1, 2)).unbind(3)
            low, high = (torch.unflatten(x, 3, (-1, 2)) for x in (top + bottom, top - bottom))
            bands = [*_sum_and_difference(low), *_sum_and_difference(high)]
            images = torch.cat(bands, dim=1) * 0.5
        return images

    def inverse(self, bands: Tensor) -> Tensor:
        """Restore the images: the shapes of `forward`, read backwards."""
        _check_blocks(bands, 2**self.levels)
        for _ in range(self.levels):
            low, across, down, both = bands.chunk(4, dim=1)
            # The transform of a block is its own inverse.
            top = torch.stack([low + across + (down + both), low - across + (down - both)], dim=4)
            bottom = torch.stack([low + across - (down + both), low - across - (down - both)], 4)
            bands = torch.stack([top.flatten(3), bottom.flatten(3)], dim=3).flatten(2, 3) * 0.5
        return bands

    def extra_repr(self) -> str:
        """The number of levels."""
        return f"levels={self.levels}"


class ChannelShuffle(nn.Module):
    """Deal the channels of ``groups`` consecutive blocks out in turn: a permutation.

    After a grouped convolution it lets the next one mix what the groups kept apart. The order is
    that of ``nn.ChannelShuffle``: first the first channel of every block, then the second.

    Args:
        groups: number of blocks; it divides the channels.

    Shapes:
        ``(batch, channels, ...)`` to the same.

    Raises:
        ShapeError: where the groups do not divide the channels.

    Source:
        X. Zhang, X. Zhou, M. Lin, J. Sun, *ShuffleNet*, arXiv 1707.01083.

    Example:
        >>> ChannelShuffle(2)(torch.tensor([[1, 2, 3, 4, 5, 6]]))
        tensor([[1, 4, 2, 5, 3, 6]])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        if groups < 1:
            raise ShapeError(f"wanted at least one group, got {groups}")
        self.groups = groups

    def forward(self, inputs: Tensor) -> Tensor:
        """Interleave the blocks of channels."""
        self._check_channels(inputs)
        # Unlike a transpose and a flatten, this keeps channels_last.
        return torch.cat(torch.unflatten(inputs, 1, (self.groups, -1)).unbind(2), dim=1)

    def inverse(self, inputs: Tensor) -> Tensor:
        """Gather the blocks of channels again."""
        self._check_channels(inputs)
        return torch.cat(torch.unflatten(inputs, 1, (-1, self.groups)).unbind(2), dim=1)

    def _check_channels(self, inputs: Tensor) -> None:
        if inputs.ndim < 2 or inputs.shape[1] % self.groups:
            raise ShapeError(
                f"expected (batch, channels, ...) with channels in multiples of {self.groups}, "
                f"got {tuple(inputs.shape)}"
            )

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"


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


def check_sides(images: Tensor, factor: int | tuple[int, int]) -> None:
    """Raise `ShapeError` where images do not consist of whole blocks of a size."""
    height, width = (factor, factor) if isinstance(factor, int) else factor
    if images.ndim != 4 or images.shape[2] % height or images.shape[3] % width:
        multiples = f"{height}" if height == width else f"{height} and {width}"
        raise ShapeError(
            f"expected images of shape (batch, channels, height, width) with sides in multiples "
            f"of {multiples}, got {tuple(images.shape)}"
        )


def _check_blocks(images: Tensor, factor: int) -> None:
    if images.ndim != 4 or images.shape[1] % factor**2:
        raise ShapeError(
            f"expected (batch, channels, height, width) with channels in multiples of "
            f"{factor**2}, got {tuple(images.shape)}"
        )


def _sum_and_difference(pairs: Tensor) -> tuple[Tensor, Tensor]:
    left, right = pairs.unbind(4)
    return left + right, left - right
