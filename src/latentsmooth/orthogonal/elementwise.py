"""Shifts and scales of channels: the first is free, the second is paid for in the bound."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["Center", "ChannelNormalize"]


class Center(nn.Module):
    """Subtract a constant per channel: free for the Lipschitz constant.

    Args:
        mean: one number, or one a channel, in pixel units [0, 1].

    Shapes:
        ``(batch, channels, height, width)`` to the same.
    """

    mean: Tensor

    def __init__(self, mean: float | Sequence[float] = 0.5) -> None:
        super().__init__()
        self.register_buffer("mean", _channel_constants(mean))

    def forward(self, images: Tensor) -> Tensor:
        """Subtract the mean of each channel."""
        _check_channels(images, self.mean)
        return images - self.mean.to(images.dtype)

    def inverse(self, images: Tensor) -> Tensor:
        """Add the mean of each channel again."""
        _check_channels(images, self.mean)
        return images + self.mean.to(images.dtype)

    def extra_repr(self) -> str:
        """The constants."""
        return f"mean={self.mean.flatten().tolist()}"


class ChannelNormalize(nn.Module):
    """Subtract a mean and divide by a standard deviation per channel, as many pipelines do.

    It multiplies the Lipschitz constant by ``1 / min(std)`` and with it divides every radius;
    our builds centre instead. It is here so that such an encoder can be certified truthfully.

    Args:
        mean: one number, or one a channel, in pixel units [0, 1].
        std: the same; positive.

    Shapes:
        ``(batch, channels, height, width)`` to the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", _channel_constants(mean))
        self.register_buffer("std", _channel_constants(std))
        if not bool((self.std > 0).all()):
            raise ConfigurationError(f"wanted positive standard deviations, got {std}")

    def forward(self, images: Tensor) -> Tensor:
        """Centre and scale each channel."""
        _check_channels(images, self.mean)
        _check_channels(images, self.std)
        return (images - self.mean.to(images.dtype)) / self.std.to(images.dtype)

    def extra_repr(self) -> str:
        """The constants."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def _channel_constants(values: float | Sequence[float]) -> Tensor:
    listed = [values] if isinstance(values, int | float) else list(values)
    if not listed:
        raise ConfigurationError("wanted one constant, or one a channel; got none")
    return torch.tensor(listed, dtype=torch.float32).reshape(1, -1, 1, 1)


def _check_channels(images: Tensor, constants: Tensor) -> None:
    channels = constants.shape[1]
    # Not `in`, which torch.compile cannot answer for a size that it holds open.
    if images.ndim != 4 or (channels != 1 and channels != images.shape[1]):
        wanted = channels if channels > 1 else "channels"
        raise ShapeError(
            f"expected images of shape (batch, {wanted}, height, width), got {tuple(images.shape)}"
        )
