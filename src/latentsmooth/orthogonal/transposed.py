"""Transposed orthogonal convolutions: adjoints, which let images grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from latentsmooth.errors import ConfigurationError
from latentsmooth.orthogonal.convolution_layer import ConvolutionLayer
from latentsmooth.orthogonal.geometry import PaddingMode
from latentsmooth.orthogonal.initialisation import Initialisation
from latentsmooth.orthogonal.matrix import Parametrization

__all__ = [
    "OrthogonalConvTranspose1d",
    "OrthogonalConvTranspose2d",
    "OrthogonalConvTranspose3d",
]


class _TransposedConvolution(ConvolutionLayer):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | Literal["same"] = "same",
        output_padding: int = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: PaddingMode = "circular",
        *,
        parametrization: Parametrization = "cayley",
        init: Initialisation = "haar",
    ) -> None:
        if output_padding != 0:
            raise ConfigurationError(
                "wanted output_padding 0 (the output has side * stride pixels), "
                f"got {output_padding}"
            )
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            parametrization,
            init,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Spread each pixel: ``(b, c, *sides)`` to ``(b, out_channels, *(sides * stride))``."""
        self.check_images(images)
        return self.up(images, self.bias)


class OrthogonalConvTranspose2d(_TransposedConvolution):
    """The adjoint of an `OrthogonalConv2d` from ``out_channels`` to ``in_channels``.

    Under circular padding it is an isometry where ``in_channels <= out_channels * stride^2`` and a
    co-isometry otherwise; zero padding crops the border and keeps ``norm <= 1``; full padding
    crops nothing, which keeps the length of isometries. Arguments are those of
    ``nn.ConvTranspose2d``, in their order; ``output_padding`` stays 0, since the output always has
    ``side * stride`` pixels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, a multiple of the stride.
        stride: pixels of the output for each of the input.
        padding: ``"same"``, or the number of pixels that it amounts to.
        output_padding: 0.
        groups: blocks of channels convolved apart, each orthogonal.
        bias: whether to add a learned offset per channel.
        dilation: spacing of the taps; it shares no factor with the stride.
        padding_mode: ``"circular"``, ``"zeros"`` or ``"full"``.
        parametrization: how unconstrained parameters become orthogonal factors.
        init: distribution of the factors at the start.

    Shapes:
        ``(batch, in_channels, height, width)`` to
        ``(batch, out_channels, height * stride, width * stride)``; with full padding each side is
        ``(side - 1) * stride + dilation * (kernel_size - 1) + 1``.

    Raises:
        ShapeError: for sizes that no orthogonal convolution has, naming the nearest legal ones.
        ConfigurationError: for an unknown padding mode, parametrization or initialisation.

    Source:
        J. Su, W. Byeon, F. Huang, arXiv 2106.09121 (SC-Fac).

    Example:
        >>> import torch
        >>> layer = OrthogonalConvTranspose2d(12, 3, 4, stride=2)
        >>> x = torch.randn(2, 12, 4, 4)
        >>> layer(x).shape
        torch.Size([2, 3, 8, 8])
        >>> bool(torch.allclose(layer(x).norm(), x.norm(), rtol=1e-5))
        True
    """

    axes = 2


class OrthogonalConvTranspose1d(_TransposedConvolution):
    """`OrthogonalConvTranspose2d` along one axis; arguments are those of ``nn.ConvTranspose1d``.

    Shapes:
        ``(batch, in_channels, length)`` to ``(batch, out_channels, length * stride)``.

    Example:
        >>> import torch
        >>> OrthogonalConvTranspose1d(8, 4, 4, stride=2)(torch.randn(2, 8, 5)).shape
        torch.Size([2, 4, 10])
    """

    axes = 1


class OrthogonalConvTranspose3d(_TransposedConvolution):
    """`OrthogonalConvTranspose2d` along three axes; arguments are those of ``nn.ConvTranspose3d``.

    Shapes:
        ``(batch, in_channels, depth, height, width)`` to
        ``(batch, out_channels, depth * stride, height * stride, width * stride)``.

    Example:
        >>> import torch
        >>> OrthogonalConvTranspose3d(8, 1, 2, stride=2)(torch.randn(2, 8, 2, 2, 3)).shape
        torch.Size([2, 1, 4, 4, 6])
    """

    axes = 3
