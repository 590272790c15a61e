"""The orthogonal convolution."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal.cached import BuiltWeight
from latentsmooth.orthogonal.kernel import (
    paraunitary_kernel_1d,
    separable_kernel_2d,
    strided_from_polyphase,
)
from latentsmooth.orthogonal.matrix import Parametrization, orthogonal_columns, parameter_shape

__all__ = ["OrthogonalConv2d", "PaddingMode"]

PaddingMode = Literal["circular", "zeros"]


class OrthogonalConv2d(BuiltWeight):
    r"""A convolution whose kernel is paraunitary, so that it never lengthens its input.

    The kernel is a product of orthogonal factors over ``c = max(in_channels * stride^2,
    out_channels)`` channels, cut to its leading rows or columns. Under circular padding the layer
    is an isometry (``out_channels >= in_channels * stride^2``) or a co-isometry; zero padding
    keeps ``norm <= 1`` and loses length at the border. The output has ``size / stride`` pixels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number or (height, width); a multiple of the stride.
        stride: step, one number or (height, width); image sides must be multiples of it.
        bias: whether to add a learned offset per channel (free for the Lipschitz constant).
        padding_mode: ``"circular"`` or ``"zeros"``. Reflect and replicate are not 1-Lipschitz.
        parametrization: how unconstrained parameters become orthogonal factors.

    Shapes:
        ``(batch, in_channels, height, width)`` to
        ``(batch, out_channels, height / stride, width / stride)``.

    Source:
        J. Su, W. Byeon, F. Huang, arXiv 2106.09121 (SC-Fac).

    Example:
        >>> layer = OrthogonalConv2d(3, 16, 3)
        >>> x = torch.randn(2, 3, 8, 8)
        >>> bool(torch.allclose(layer(x).norm(), x.norm(), rtol=1e-5))
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        bias: bool = True,
        *,
        padding_mode: PaddingMode = "circular",
        parametrization: Parametrization = "cayley",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding_mode: PaddingMode = padding_mode
        self.parametrization: Parametrization = parametrization
        self._check_arguments()
        phases = in_channels * self.stride[0] * self.stride[1]
        channels = self.channels = max(phases, out_channels)
        taps = sum(k // s - 1 for k, s in zip(self.kernel_size, self.stride, strict=True))
        narrow = channels // 2
        self.mixing = nn.Parameter(
            torch.empty(parameter_shape(channels, min(phases, out_channels), parametrization))
        )
        self.bases = nn.Parameter(
            torch.empty(taps, *parameter_shape(channels, narrow, parametrization))
        )
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    def _check_arguments(self) -> None:
        if self.in_channels < 1 or self.out_channels < 1:
            raise ShapeError(
                f"wanted at least one channel, got {self.in_channels} -> {self.out_channels}"
            )
        if self.padding_mode not in ("circular", "zeros"):
            raise ConfigurationError(
                f"padding_mode {self.padding_mode!r} is not 1-Lipschitz or not known: "
                "use 'circular' or 'zeros'"
            )
        for size, step in zip(self.kernel_size, self.stride, strict=True):
            if size < 1 or step < 1:
                raise ShapeError(f"wanted kernel and stride >= 1, got {size} and {step}")
            if size % step:
                below, above = size // step * step, (size // step + 1) * step
                legal = f"{below} or {above}" if below else f"{above}"
                raise ShapeError(
                    f"kernel size {size} is not a multiple of stride {step}: use {legal}"
                )

    def reset_parameters(self) -> None:
        """Draw new parameters; the bias returns to zero."""
        std = 1 / math.sqrt(self.channels)
        nn.init.normal_(self.mixing, std=std)
        if self.bases.numel():
            nn.init.normal_(self.bases, std=std)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def build_weight(self, dtype: torch.dtype) -> Tensor:
        """Returns: ``(out_channels, in_channels, kernel height, kernel width)`` of that dtype."""
        phases = self.in_channels * self.stride[0] * self.stride[1]
        narrow = min(phases, self.out_channels)
        with torch.autocast(self.mixing.device.type, enabled=False):
            mixing = orthogonal_columns(
                self.mixing.to(dtype), columns=narrow, method=self.parametrization
            )
            bases = orthogonal_columns(
                self.bases.to(dtype), columns=self.channels // 2, method=self.parametrization
            )
            split = self.kernel_size[0] // self.stride[0] - 1
            vertical = paraunitary_kernel_1d(bases[:split])
            horizontal = paraunitary_kernel_1d(bases[split:])
            # The mixing matrix stands on the narrow side: what it drops is never computed.
            if self.out_channels >= phases:
                horizontal = horizontal @ mixing
            else:
                vertical = mixing.mT @ vertical
            kernel = separable_kernel_2d(vertical, horizontal)
            return strided_from_polyphase(kernel, self.stride)

    def weight_parameters(self) -> list[Tensor]:
        """The mixing matrix and the factors' bases."""
        return [self.mixing, self.bases]

    def forward(self, images: Tensor) -> Tensor:
        """Pad and convolve: ``(b, c, h, w)`` to ``(b, out_channels, h / stride, w / stride)``."""
        self._check_images(images)
        (kh, kw), (sh, sw) = self.kernel_size, self.stride
        top, left = (kh // sh - 1) // 2 * sh, (kw // sw - 1) // 2 * sw
        bottom, right = kh - sh - top, kw - sw - left
        if (top, left) == (bottom, right) and self.padding_mode == "zeros":
            return F.conv2d(images, self.weight, self.bias, self.stride, (top, left))
        if kh > sh or kw > sw:
            mode = "circular" if self.padding_mode == "circular" else "constant"
            images = F.pad(images, (left, right, top, bottom), mode=mode)
        return F.conv2d(images, self.weight, self.bias, self.stride)

    def _check_images(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ShapeError(
                f"expected images of shape (batch, {self.in_channels}, height, width), "
                f"got {tuple(images.shape)}"
            )
        for side, step, size in zip(images.shape[2:], self.stride, self.kernel_size, strict=True):
            if side % step:
                raise ShapeError(
                    f"image side {side} is not a multiple of stride {step} "
                    f"(input {tuple(images.shape)})"
                )
            if self.padding_mode == "circular" and size - step > side:
                raise ShapeError(
                    f"circular padding wraps at most once: kernel size {size} with stride {step} "
                    f"needs an image side of at least {size - step}, got {side}"
                )

    def extra_repr(self) -> str:
        """Sizes, as ``nn.Conv2d`` prints them."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, bias={self.bias is not None}, padding_mode={self.padding_mode}"
        )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
