"""Orthogonal convolutions in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from latentsmooth.orthogonal.convolution_layer import ConvolutionLayer
from latentsmooth.orthogonal.geometry import PaddingMode
from latentsmooth.orthogonal.initialisation import Initialisation
from latentsmooth.orthogonal.matrix import Parametrization

__all__ = ["OrthogonalConv1d", "OrthogonalConv2d", "OrthogonalConv3d"]


class _Convolution(ConvolutionLayer):
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | Literal["same"] = "same",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "circular",
        *,
        parametrization: Parametrization = "cayley",
        init: Initialisation = "haar",
    ) -> None:
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
        """Pad and convolve: ``(b, c, *sides)`` to ``(b, out_channels, *(sides / stride))``."""
        self.check_images(images)
        return self.down(images, self.bias)


class OrthogonalConv2d(_Convolution):
    r"""A convolution whose kernel is paraunitary, so that it never lengthens its input.

    The kernel is a product of orthogonal factors over ``c = max(in_channels * stride^2,
    out_channels)`` channels (of a group), cut to its leading rows or columns. Under circular
    padding the layer is an isometry (``out_channels >= in_channels * stride^2``) or a co-isometry;
    zero padding keeps ``norm <= 1`` and loses length at the border; full padding keeps the length
    of isometries and lets the image grow. Arguments are those of ``nn.Conv2d``, in their order.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number or (height, width); a multiple of the stride.
        stride: step, one number or (height, width); image sides must be multiples of it.
        padding: ``"same"``, or the number of pixels that it amounts to.
        dilation: spacing of the taps, one number or (height, width); it shares no factor with the
            stride.
        groups: blocks of channels convolved apart, each orthogonal.
        bias: whether to add a learned offset per channel (free for the Lipschitz constant).
        padding_mode: ``"circular"``, ``"zeros"`` or ``"full"``. Reflect and replicate are not
            1-Lipschitz.
        parametrization: how unconstrained parameters become orthogonal factors.
        init: distribution of the factors at the start.

    Shapes:
        ``(batch, in_channels, height, width)`` to
        ``(batch, out_channels, height / stride, width / stride)``; with full padding each side is
        longer by ``floor(dilation * (kernel_size - 1) / stride)``.

    Raises:
        ShapeError: for sizes that no orthogonal convolution has, naming the nearest legal ones.
        ConfigurationError: for an unknown padding mode, parametrization or initialisation.

    Source:
        J. Su, W. Byeon, F. Huang, arXiv 2106.09121 (SC-Fac).

    Example:
        >>> import torch
        >>> layer = OrthogonalConv2d(3, 16, 3)
        >>> x = torch.randn(2, 3, 8, 8)
        >>> bool(torch.allclose(layer(x).norm(), x.norm(), rtol=1e-5))
        True
        >>> bool(torch.allclose(layer.inverse(layer(x)), x, atol=1e-5))
        True
    """

    axes = 2


class OrthogonalConv1d(_Convolution):
    """`OrthogonalConv2d` along one axis; arguments are those of ``nn.Conv1d``.

    Shapes:
        ``(batch, in_channels, length)`` to ``(batch, out_channels, length / stride)``.

    Example:
        >>> import torch
        >>> OrthogonalConv1d(2, 8, 6, stride=2)(torch.randn(4, 2, 10)).shape
        torch.Size([4, 8, 5])
    """

    axes = 1


class OrthogonalConv3d(_Convolution):
    """`OrthogonalConv2d` along three axes; arguments are those of ``nn.Conv3d``.

    Shapes:
        ``(batch, in_channels, depth, height, width)`` to
        ``(batch, out_channels, depth / stride, height / stride, width / stride)``.

    Example:
        >>> import torch
        >>> OrthogonalConv3d(1, 8, 2, stride=2)(torch.randn(4, 1, 4, 6, 8)).shape
        torch.Size([4, 8, 2, 3, 4])
    """

    axes = 3
