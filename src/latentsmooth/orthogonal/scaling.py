"""A learned scale of channels that never lengthens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentsmooth.errors import ShapeError

__all__ = ["ChannelScale"]


class ChannelScale(nn.Module):
    r"""Multiply each channel by a learned number between -1 and 1.

    .. math:: s = w / \max(1, \max_i |w_i|),

    so that the weights are the scales themselves until one grows beyond one; from there on all
    shrink by what the largest has in excess. It starts as the identity and may learn which
    channels to keep; what it shrinks is lost to the gradient.

    Args:
        channels: channels of the input.

    Shapes:
        ``(batch, channels, ...)`` to the same.

    Raises:
        ShapeError: where the input has another number of channels.

    Example:
        >>> layer = ChannelScale(2)
        >>> _ = nn.init.constant_(layer.weight, 4.0)
        >>> with torch.no_grad():
        ...     layer.weight[1] = -1.0
        ...     layer(torch.ones(1, 2))
        tensor([[ 1.0000, -0.2500]])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ShapeError(f"wanted at least one channel, got {channels}")
        self.channels = channels
        self.weight = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Return every scale to one."""
        nn.init.ones_(self.weight)

    @property
    def scale(self) -> Tensor:
        """The scales in force, ``(channels,)``, of the weight's dtype and at most one in size."""
        dtype = self.weight.dtype
        wide = self.weight.to(dtype if dtype.itemsize >= 4 else torch.float32)
        largest = wide.abs().amax()
        # Not clamp: at one exactly, where training starts, its gradient would pass to the largest
        # and take away the direction in which all scales shrink together.
        return (wide / torch.where(largest > 1, largest, 1)).to(dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """Scale the channels of ``(batch, channels, ...)``."""
        if inputs.ndim < 2 or inputs.shape[1] != self.channels:
            raise ShapeError(f"expected (batch, {self.channels}, ...), got {tuple(inputs.shape)}")
        scale = self.scale.to(inputs.dtype)
        return inputs * scale.reshape(-1, *[1] * (inputs.ndim - 2))

    def extra_repr(self) -> str:
        """The number of channels."""
        return f"{self.channels}"
