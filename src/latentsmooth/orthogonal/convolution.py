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
    Arguments are those of ``nn.Conv2d``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number or (height, width); a multiple of the stride.
        stride: step, one number or (height, width); image sides must be multiples of it.
        padding: ``"same"``, or the number of pixels that preserves the size.
        dilation: spacing of the taps, one number or (height, width); needs stride 1.
        groups: blocks of channels convolved apart, each orthogonal.
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
        padding: int | tuple[int, int] | Literal["same"] = "same",
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "circular",
        *,
        parametrization: Parametrization = "cayley",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.dilation = _pair(dilation)
        self.groups = groups
        self.padding_mode: PaddingMode = padding_mode
        self.parametrization: Parametrization = parametrization
        self._check_arguments()
        self._margins = [
            _margin(*sizes)
            for sizes in zip(self.kernel_size, self.stride, self.dilation, strict=True)
        ]
        self._check_padding(padding)
        self._phases = in_channels // groups * self.stride[0] * self.stride[1]
        self._narrow = min(self._phases, out_channels // groups)
        channels = self.channels = max(self._phases, out_channels // groups)
        taps = sum(k // s - 1 for k, s in zip(self.kernel_size, self.stride, strict=True))
        blocks = (groups,) if groups > 1 else ()
        mixing = parameter_shape(channels, self._narrow, parametrization)
        bases = parameter_shape(channels, channels // 2, parametrization)
        self.mixing = nn.Parameter(torch.empty(*blocks, *mixing))
        self.bases = nn.Parameter(torch.empty(*blocks, taps, *bases))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    def _check_arguments(self) -> None:
        if self.in_channels < 1 or self.out_channels < 1:
            raise ShapeError(
                f"wanted at least one channel, got {self.in_channels} -> {self.out_channels}"
            )
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"groups={self.groups} does not divide the channels, {self.in_channels} -> "
                f"{self.out_channels}"
            )
        if self.padding_mode not in ("circular", "zeros"):
            raise ConfigurationError(
                f"padding_mode {self.padding_mode!r} is not 1-Lipschitz or not known: "
                "use 'circular' or 'zeros'"
            )
        for size, step, gap in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            if min(size, step, gap) < 1:
                raise ShapeError(
                    f"wanted kernel, stride and dilation >= 1, got {size}, {step} and {gap}"
                )
            if step > 1 and gap > 1:
                raise ShapeError(f"dilation {gap} needs stride 1, got stride {step}")
            if size % step:
                below, above = size // step * step, (size // step + 1) * step
                legal = f"{below} or {above}" if below else f"{above}"
                raise ShapeError(
                    f"kernel size {size} is not a multiple of stride {step}: use {legal}"
                )

    def _check_padding(self, padding: int | tuple[int, int] | Literal["same"]) -> None:
        if padding == "same":
            return
        if not isinstance(padding, int | tuple):
            raise ConfigurationError(f"wanted padding 'same' or a number, got {padding!r}")
        for asked, (before, after) in zip(_pair(padding), self._margins, strict=True):
            if asked != before or asked != after:
                legal = f"{before} or 'same'" if before == after else "'same'"
                raise ShapeError(
                    f"padding {asked} does not keep the size of a {self.kernel_size} kernel with "
                    f"stride {self.stride} and dilation {self.dilation}: use {legal}"
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
        with torch.autocast(self.mixing.device.type, enabled=False):
            mixing = orthogonal_columns(
                self.mixing.to(dtype), columns=self._narrow, method=self.parametrization
            ).unsqueeze(-3)
            bases = orthogonal_columns(
                self.bases.to(dtype), columns=self.channels // 2, method=self.parametrization
            )
            split = self.kernel_size[0] // self.stride[0] - 1
            vertical = paraunitary_kernel_1d(bases[..., :split, :, :])
            horizontal = paraunitary_kernel_1d(bases[..., split:, :, :])
            # The mixing matrix stands on the narrow side: what it drops is never computed.
            if self._narrow == self._phases:
                horizontal = horizontal @ mixing
            else:
                vertical = mixing.mT @ vertical
            kernel = separable_kernel_2d(vertical, horizontal)
            blocks = kernel.reshape(self.out_channels, self._phases, *kernel.shape[-2:])
            return strided_from_polyphase(blocks, self.stride)

    def weight_parameters(self) -> list[Tensor]:
        """The mixing matrix and the factors' bases."""
        return [self.mixing, self.bases]

    def forward(self, images: Tensor) -> Tensor:
        """Pad and convolve: ``(b, c, h, w)`` to ``(b, out_channels, h / stride, w / stride)``."""
        self._check_images(images)
        (top, bottom), (left, right) = self._margins
        padding = (0, 0)
        if (top, left) == (bottom, right) and self.padding_mode == "zeros":
            padding = (top, left)
        elif top or bottom or left or right:
            mode = "circular" if self.padding_mode == "circular" else "constant"
            images = F.pad(images, (left, right, top, bottom), mode=mode)
        return F.conv2d(
            images, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _check_images(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ShapeError(
                f"expected images of shape (batch, {self.in_channels}, height, width), "
                f"got {tuple(images.shape)}"
            )
        for side, step, margins in zip(images.shape[2:], self.stride, self._margins, strict=True):
            if side % step:
                raise ShapeError(
                    f"image side {side} is not a multiple of stride {step} "
                    f"(input {tuple(images.shape)})"
                )
            if self.padding_mode == "circular" and max(margins) > side:
                raise ShapeError(
                    f"circular padding wraps at most once: kernel {self.kernel_size} with stride "
                    f"{self.stride} and dilation {self.dilation} needs an image side of at least "
                    f"{max(margins)}, got {side}"
                )

    def extra_repr(self) -> str:
        """Sizes, as ``nn.Conv2d`` prints them."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}, padding_mode={self.padding_mode}, "
            f"parametrization={self.parametrization}"
        )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _margin(size: int, step: int, gap: int) -> tuple[int, int]:
    """Pixels to pad before and after a side so that ``side / step`` outputs are centred."""
    taps = size // step
    before = (taps - 1) // 2 * step * gap
    return before, (size - step) * gap - before
