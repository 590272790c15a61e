"""SC-Fac as its paper describes it, over geotorch's orthogonal matrices; no code of ours behind it.

J. Su, W. Byeon, F. Huang, *Scaling-up Diverse Orthogonal Convolutional Networks with a Paraunitary
Framework*, arXiv 2106.09121.
"""

from __future__ import annotations

import importlib
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SCFacConv2d", "Trivialization"]

Trivialization = Literal["expm", "cayley"]


class SCFacConv2d(nn.Module):
    """A separable complete factorization: Q V_1(z) ... V_{k-1}(z) along each axis, multiplied out.

    Strides go through pixel-unshuffling and unequal channels through cutting the square kernel, as
    in the paper; the unshuffling is folded into the kernel, which is faster than moving pixels.
    Kernels are built outside autocast and kept between calls in evaluation mode.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        triv: Trivialization = "expm",
    ) -> None:
        super().__init__()
        geotorch = importlib.import_module("geotorch")
        self.stride = stride
        self.phases = in_channels * stride**2
        self.out_channels = out_channels
        self.taps = kernel_size // stride
        channels = max(self.phases, out_channels)
        axes = 2 if self.taps > 1 else 1
        self.mixing = nn.Parameter(torch.empty(axes, channels, channels))
        geotorch.orthogonal(self, "mixing", triv=triv)
        if self.taps > 1:
            self.bases = nn.Parameter(torch.empty(2, self.taps - 1, channels, channels // 2))
            geotorch.orthogonal(self, "bases", triv=triv)
        self._kept: Tensor | None = None

    def build_weight(self) -> Tensor:
        """Returns the kernel, ``(out, in, k, k)``."""
        with torch.autocast("cpu", enabled=False):
            mixing = self.mixing
            if self.taps == 1:
                kernel = mixing[0, :, :, None, None]
            else:
                bases = self.bases
                vertical = _multiply_out(mixing[0], bases[0])
                horizontal = _multiply_out(mixing[1], bases[1])
                kernel = torch.einsum("aoc,bci->oiab", vertical, horizontal)
            return self._fold_stride(kernel[: self.out_channels, : self.phases])

    def _fold_stride(self, kernel: Tensor) -> Tensor:
        """From taps over pixel-unshuffled channels to taps over pixels."""
        if self.stride == 1:
            return kernel
        # unshuffled channels are ordered as pixel_shuffle wants them, one image an output channel
        return F.pixel_shuffle(kernel, self.stride)

    @property
    def weight(self) -> Tensor:
        if self.training or torch.is_grad_enabled():
            return self.build_weight()
        if self._kept is None:
            self._kept = self.build_weight()
        return self._kept

    def train(self, mode: bool = True) -> SCFacConv2d:
        self._kept = None
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        before, after = (self.taps - 1) // 2 * self.stride, self.taps // 2 * self.stride
        if after:
            images = F.pad(images, (before, after, before, after), mode="circular")
        return F.conv2d(images, self.weight, stride=self.stride)


def _multiply_out(mixing: Tensor, bases: Tensor) -> Tensor:
    """Polynomial product of a constant and of first-degree factors: ``(k, c, c)`` coefficients."""
    product = mixing.unsqueeze(0)
    for position, basis in enumerate(bases):
        projector = basis @ basis.mT
        rest = torch.eye(len(projector), dtype=projector.dtype) - projector
        # Every other factor runs backwards in z, which keeps the taps centred.
        factor = torch.stack([rest, projector] if position % 2 == 0 else [projector, rest])
        product = _multiply(product, factor)
    return product


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    """Product of two matrix polynomials given by their coefficients, lowest power first."""
    terms = left.unsqueeze(0) @ right.unsqueeze(1)
    size = len(left) + len(right) - 1
    shifted = [
        F.pad(term, (0, 0, 0, 0, power, size - len(left) - power))
        for power, term in enumerate(terms)
    ]
    return torch.stack(shifted).sum(0)
