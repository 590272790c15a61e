"""Blocks of the cheap heads: normalised by batch norm, which certification merges away."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "ConvNextBlock",
    "DepthwiseBlock",
    "MixerBlock",
    "ResidualConvolution",
    "TokenMean",
    "Tokens",
    "convolution",
]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 1,
) -> list[nn.Module]:
    """A convolution, batch norm and ReLU, as layers of a chain."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


class ResidualConvolution(nn.Module):
    """One 3x3 convolution with batch norm and ReLU, added to its input.

    Args:
        channels: of input and output.

    Shapes:
        ``(batch, channels, h, w)`` to the same.

    Example:
        >>> import torch
        >>> ResidualConvolution(8)(torch.rand(2, 8, 5, 5)).shape
        torch.Size([2, 8, 5, 5])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*convolution(channels, channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the block."""
        made: Tensor = inputs + self.branch(inputs)
        return made


class ConvNextBlock(nn.Module):
    """A 7x7 depthwise convolution, then two dense layers a pixel, round a shortcut.

    As in ConvNeXt, but with batch norm for layer norm: merged into the convolution before it, it
    costs nothing when votes are drawn.

    Args:
        channels: of input and output; four times as many between the dense layers.

    Shapes:
        ``(batch, channels, h, w)`` to the same.

    Source:
        Z. Liu et al., *A ConvNet for the 2020s*, arXiv 2201.03545.

    Example:
        >>> import torch
        >>> ConvNextBlock(8)(torch.rand(2, 8, 5, 5)).shape
        torch.Size([2, 8, 5, 5])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.widen = nn.Conv2d(channels, 4 * channels, 1)
        self.narrow = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the block."""
        hidden = F.gelu(self.widen(self.norm(self.spatial(inputs))))
        made: Tensor = inputs + self.narrow(hidden)
        return made


class DepthwiseBlock(nn.Module):
    """A 3x3 convolution of each channel, then one of each pixel, both with batch norm and ReLU.

    Where input and output have the same shape there is a shortcut round it, which MobileNet's
    first version lacks.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        stride: of the depthwise convolution.

    Shapes:
        ``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``.

    Source:
        A. Howard et al., *MobileNets*, arXiv 1704.04861.

    Example:
        >>> import torch
        >>> DepthwiseBlock(8, 16, stride=2)(torch.rand(2, 8, 7, 7)).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(
            in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False
        )
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the block."""
        hidden = F.relu(self.norm1(self.spatial(inputs)))
        made: Tensor = self.norm2(self.pointwise(hidden))
        return F.relu(made + inputs if self.has_shortcut else made)


class Tokens(nn.Module):
    """Pixels as a sequence: ``(batch, channels, h, w)`` to ``(batch, h * w, channels)``."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Rearrange."""
        return inputs.flatten(2).transpose(1, 2)


class TokenMean(nn.Module):
    """The mean over a sequence: ``(batch, tokens, channels)`` to ``(batch, channels)``."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Average."""
        return inputs.mean(1)


class MixerBlock(nn.Module):
    """Two dense layers across tokens, then two across channels, each pair round a shortcut.

    Args:
        tokens: length of the sequence; twice as many between the first two layers.
        channels: of each token; four times as many between the last two.

    Shapes:
        ``(batch, tokens, channels)`` to the same.

    Source:
        I. Tolstikhin et al., *MLP-Mixer: An all-MLP Architecture for Vision*, arXiv 2105.01601.

    Example:
        >>> import torch
        >>> MixerBlock(16, 8)(torch.rand(2, 16, 8)).shape
        torch.Size([2, 16, 8])
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.across = _dense_pair(tokens, 2 * tokens)
        self.norm2 = nn.LayerNorm(channels)
        self.within = _dense_pair(channels, 4 * channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the block."""
        mixed: Tensor = inputs + self.across(self.norm1(inputs).transpose(1, 2)).transpose(1, 2)
        made: Tensor = mixed + self.within(self.norm2(mixed))
        return made


def _dense_pair(features: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, features))
