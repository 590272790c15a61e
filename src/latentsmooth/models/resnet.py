"""Residual heads: the CIFAR and ImageNet ResNets, whole or from a later stage on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BasicBlock", "Block", "Bottleneck", "residual_head"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm round a shortcut.

    Shapes:
        ``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``.

    Source:
        K. He et al., *Deep Residual Learning for Image Recognition*, arXiv 1512.03385.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the block."""
        hidden = F.relu(self.norm1(self.conv1(inputs)))
        return F.relu(self.norm2(self.conv2(hidden)) + self.shortcut(inputs))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, on a quarter of the channels, round a shortcut.

    The 3x3 convolution has the stride, as in the second version of ResNet-50.

    Args:
        in_channels: of the input.
        out_channels: of the output, a multiple of 4.
        stride: of the 3x3 convolution.

    Shapes:
        ``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``.

    Source:
        K. He et al., *Deep Residual Learning for Image Recognition*, arXiv 1512.03385; the stride
        P. Goyal et al., *Accurate, Large Minibatch SGD*, arXiv 1706.02677.

    Example:
        >>> import torch
        >>> Bottleneck(8, 16, stride=2)(torch.rand(2, 8, 6, 6)).shape
        torch.Size([2, 16, 3, 3])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        inner = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the block."""
        hidden = F.relu(self.norm1(self.conv1(inputs)))
        hidden = F.relu(self.norm2(self.conv2(hidden)))
        return F.relu(self.norm3(self.conv3(hidden)) + self.shortcut(inputs))


Block = type[BasicBlock] | type[Bottleneck]


def residual_head(
    in_channels: int,
    *,
    widths: Sequence[int],
    strides: Sequence[int],
    blocks: int | Sequence[int],
    num_classes: int,
    stem: int | None = None,
    large_images: bool = False,
    block: Block = BasicBlock,
) -> nn.Sequential:
    """Stages of residual blocks, average pool and a linear layer.

    Args:
        in_channels: channels of the latent.
        widths: channels of each stage.
        strides: stride of each stage's first block.
        blocks: blocks a stage, one number or one for each.
        num_classes: outputs.
        stem: channels of a first convolution, or ``None`` to start with the stages.
        large_images: whether the stem is ImageNet's (7x7 stride 2, max pool) rather than CIFAR's.
        block: what the stages are made of; `Bottleneck` wants widths that are multiples of 4.

    Returns:
        A module from ``(batch, in_channels, h, w)`` to ``(batch, num_classes)``.
    """
    layers: list[nn.Module] = []
    channels = in_channels
    if stem is not None:
        size, stride = (7, 2) if large_images else (3, 1)
        layers += [
            nn.Conv2d(channels, stem, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        ]
        if large_images:
            layers.append(nn.MaxPool2d(3, 2, 1))
        channels = stem
    counts = [blocks] * len(widths) if isinstance(blocks, int) else blocks
    for width, stride, count in zip(widths, strides, counts, strict=True):
        for position in range(count):
            layers.append(block(channels, width, stride if position == 0 else 1))
            channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]
    return nn.Sequential(*layers)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """The input itself, or a strided 1x1 convolution of it where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )
