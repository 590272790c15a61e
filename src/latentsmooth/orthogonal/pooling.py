"""Poolings over windows that do not overlap, scaled to be exactly 1-Lipschitz."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal.reshaping import check_sides

__all__ = ["L2NormPool2d", "ScaledAvgPool2d"]


class ScaledAvgPool2d(nn.Module):
    """The mean of each ``factor x factor`` window times ``factor``: a co-isometry.

    Windows do not overlap. With a power of two it is `HaarLowPass`.

    Args:
        factor: pixels of a window's side.

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c, h / factor, w / factor)``.

    Raises:
        ShapeError: where a side is not a multiple of the factor.

    Example:
        >>> ScaledAvgPool2d(3)(torch.ones(1, 1, 3, 3))
        tensor([[[[3.]]]])
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        if factor < 1:
            raise ShapeError(f"wanted a factor of at least 1, got {factor}")
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Average the windows and restore the norm."""
        check_sides(images, self.factor)
        return F.avg_pool2d(images, self.factor) * float(self.factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"factor={self.factor}"


class L2NormPool2d(nn.Module):
    r"""The l2 norm of each window: 1-Lipschitz, with a gradient of norm one.

    .. math:: y = \sqrt{\textstyle\sum_{i \in window} x_i^2}.

    Windows do not overlap. A window of zeros passes no gradient. Squares neither overflow nor
    vanish: they are taken of pixels relative to the image's largest, in float32 or wider.

    Args:
        kernel_size: the window, one number or (height, width).

    Shapes:
        ``(batch, c, h, w)`` to ``(batch, c, h / kernel height, w / kernel width)``.

    Raises:
        ShapeError: where a side is not a multiple of the window's.

    Example:
        >>> L2NormPool2d(2)(torch.tensor([[[[3.0, 0.0], [0.0, -4.0]]]]))
        tensor([[[[5.]]]])
    """

    def __init__(self, kernel_size: int | tuple[int, int]) -> None:
        super().__init__()
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if min(height, width) < 1:
            raise ShapeError(f"wanted a window of at least 1 pixel a side, got {kernel_size}")
        self.kernel_size = (height, width)

    def forward(self, images: Tensor) -> Tensor:
        """Take the norm of every window."""
        check_sides(images, self.kernel_size)
        wide = images if images.dtype.itemsize >= 4 else images.float()
        # The result does not depend on the unit, so no gradient flows through it.
        largest = wide.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
        unit = torch.where(largest > 0, largest, 1)
        squares = F.avg_pool2d((wide / unit).square(), self.kernel_size, divisor_override=1)
        # What underflows counts as zero: its root is taken at a positive number, where the
        # gradient is finite, and subtracted again. For any other window that rounds away.
        tiny = torch.finfo(squares.dtype).tiny
        norms: Tensor = (squares.clamp(min=tiny).sqrt() - tiny**0.5) * unit
        return norms.to(images.dtype)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}"
