"""What convolutions and their adjoints share: arguments, checks, and the map in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal.circular import (
    adjoint_kernel,
    circular_convolution,
    convolve,
    convolve_transposed,
)
from latentsmooth.orthogonal.geometry import Geometry, PaddingMode, check_channels, per_axis
from latentsmooth.orthogonal.initialisation import Initialisation
from latentsmooth.orthogonal.matrix import Parametrization
from latentsmooth.orthogonal.padding import Margins, circular_pad
from latentsmooth.orthogonal.paraunitary import ParaunitaryWeight

__all__ = ["ConvolutionLayer"]

SIDES = ("length",), ("height", "width"), ("depth", "height", "width")


class ConvolutionLayer(ParaunitaryWeight):
    """Base of the orthogonal convolutions and of their adjoints, the transposed ones.

    `down` maps pixels to strided positions and `up` is its adjoint; a convolution runs the first
    forward and the second backward, a transposed one the other way round.
    """

    axes: int
    transposed: bool

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int],
        padding: int | Sequence[int] | Literal["same"],
        dilation: int | Sequence[int],
        groups: int,
        bias: bool,
        padding_mode: PaddingMode,
        parametrization: Parametrization,
        init: Initialisation,
    ) -> None:
        check_channels(in_channels, out_channels, groups)
        geometry = Geometry(
            per_axis(kernel_size, self.axes, "kernel_size"),
            per_axis(stride, self.axes, "stride"),
            per_axis(dilation, self.axes, "dilation"),
            padding_mode,
        )
        geometry.check_padding(padding)
        pixels, strided = in_channels, out_channels
        if self.transposed:
            pixels, strided = strided, pixels
        super().__init__(pixels, strided, geometry, groups, parametrization, init)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size, self.stride = geometry.kernel_size, geometry.stride
        self.dilation, self.padding_mode = geometry.dilation, geometry.padding_mode
        self.padding = padding
        self.margins = geometry.margins
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    @property
    def is_isometry(self) -> bool:
        """Whether the linear part keeps every norm."""
        grows = self._phases >= self._outputs if self.transposed else self._outputs >= self._phases
        return grows and (self.padding_mode != "zeros" or not any(map(any, self.margins)))

    def reset_parameters(self) -> None:
        """Draw new factors; the bias returns to zero."""
        self.reset_factors()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def down(self, images: Tensor, bias: Tensor | None = None) -> Tensor:
        """Pad and convolve: ``(b, pixel channels, *sides)`` to the strided side."""
        for side, step in zip(images.shape[2:], self.stride, strict=True):
            if side % step:
                raise ShapeError(
                    f"image side {side} is not a multiple of stride {step} "
                    f"(input {tuple(images.shape)})"
                )
        if self.padding_mode == "circular":
            return circular_convolution(
                images,
                self.weight,
                bias,
                stride=self.stride,
                dilation=self.dilation,
                groups=self.groups,
                margins=self.margins,
            )
        padding = [min(margin) for margin in self.margins]
        rest = [(a - both, b - both) for (a, b), both in zip(self.margins, padding, strict=True)]
        if any(map(any, rest)):
            # The convolution pads both ends alike; what is wanted beyond that is added first.
            # F.pad counts from the last axis.
            images = F.pad(images, [pixels for margin in reversed(rest) for pixels in margin])
        return convolve(images, self.weight, bias, self.stride, padding, self.dilation, self.groups)

    def up(self, outputs: Tensor, bias: Tensor | None = None) -> Tensor:
        """The adjoint of `down`: spread each position by the kernel, and crop."""
        if self.up_is_convolution:
            weight, margins = self.flipped()
            return circular_convolution(
                outputs,
                weight,
                bias,
                stride=self.stride,
                dilation=self.dilation,
                groups=self.groups,
                margins=margins,
            )
        if self.padding_mode == "circular":
            outputs = circular_pad(outputs, self.wrap)
        return convolve_transposed(
            outputs, self.weight, bias, self.stride, self.crop, self.dilation, self.groups
        )

    @property
    def up_is_convolution(self) -> bool:
        """Whether the adjoint is itself a circular convolution, as it is at stride 1."""
        return self.padding_mode == "circular" and set(self.stride) == {1}

    def flipped(self) -> tuple[Tensor, Margins]:
        """Kernel and margins of the adjoint at stride 1: taps reversed, channels swapped."""
        margins = tuple((after, before) for before, after in self.margins)
        return adjoint_kernel(self.weight, self.groups), margins

    @property
    def wrap(self) -> Margins:
        """Positions to wrap round on the strided side so that `up` reaches every pixel."""
        reach = [
            -(-max(margin) // step) for margin, step in zip(self.margins, self.stride, strict=True)
        ]
        return tuple((positions, positions) for positions in reach)

    @property
    def crop(self) -> Margins:
        """Pixels that `up` cuts off before and after each side of a transposed convolution."""
        if self.transposed and self.padding_mode == "full":
            return ((0, 0),) * self.axes
        if self.padding_mode != "circular":
            return self.margins
        sizes = zip(self.margins, self.wrap, self.stride, strict=True)
        return tuple(
            (before + first * step, after + last * step)
            for (before, after), (first, last), step in sizes
        )

    def inverse(self, outputs: Tensor) -> Tensor:
        """The images behind outputs of an isometry: take the bias off and apply the adjoint.

        Where there are more outputs than inputs this is the left inverse: outputs that no image
        has are first projected onto those that one has.

        Args:
            outputs: ``(batch, out_channels, *sides)`` as ``forward`` gives them.

        Returns:
            ``(batch, in_channels, *sides)``.

        Raises:
            ConfigurationError: for a layer that loses length, by narrowing or at zero borders.
        """
        if not self.is_isometry:
            raise ConfigurationError(
                f"only an isometry has an inverse, got {self.in_channels} -> {self.out_channels} "
                f"channels with stride {self.stride} and padding_mode {self.padding_mode!r}"
            )
        if self.bias is not None:
            outputs = outputs - self.bias.to(outputs.dtype).reshape(-1, *(1,) * self.axes)
        if not self.transposed:
            return self.up(outputs)
        if self.padding_mode == "circular":
            return self.down(outputs)
        zeros = (0,) * self.axes
        return convolve(outputs, self.weight, None, self.stride, zeros, self.dilation, self.groups)

    def check_images(self, images: Tensor) -> None:
        """Refuse what is no batch of images with the layer's channels."""
        if images.ndim != self.axes + 2 or images.shape[1] != self.in_channels:
            names = ", ".join(SIDES[self.axes - 1])
            raise ShapeError(
                f"expected images of shape (batch, {self.in_channels}, {names}), "
                f"got {tuple(images.shape)}"
            )

    def extra_repr(self) -> str:
        """Sizes, as ``nn.Conv2d`` prints them."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}, padding_mode={self.padding_mode}, "
            f"parametrization={self.parametrization}"
        )
