"""Paraunitary convolution kernels: orthogonal at every frequency, hence at every image size."""

from __future__ import annotations

import torch
from torch import Tensor

from latentsmooth.errors import ShapeError

__all__ = ["paraunitary_kernel_1d", "separable_kernel_2d", "strided_from_polyphase"]


def paraunitary_kernel_1d(bases: Tensor) -> Tensor:
    r"""Multiply first-degree paraunitary factors into one 1-D kernel.

    .. math:: V_1(z) V_2(z) \cdots V_{k-1}(z), \quad
              V_i(z) = (I - U_i U_i^T) + U_i U_i^T z^{\pm 1},

    the sign of the exponent alternating, so that the kernel stays centred on tap
    ``(k - 1) // 2``.

    Args:
        bases: ``(..., k - 1, c, r)``, each slice with orthonormal columns.

    Returns:
        ``(..., k, c, c)``: the taps in the order in which ``conv1d`` reads them.

    Source:
        J. Su, W. Byeon, F. Huang, *Scaling-up Diverse Orthogonal Convolutional Networks with a
        Paraunitary Framework*, arXiv 2106.09121.

    Example:
        >>> taps = paraunitary_kernel_1d(torch.linalg.qr(torch.randn(2, 4, 2)).Q)
        >>> taps.shape
        torch.Size([3, 4, 4])
    """
    *batch, factors, channels, _ = bases.shape
    eye = torch.eye(channels, dtype=bases.dtype, device=bases.device)
    taps = eye.expand(*batch, 1, channels, channels)
    zero = torch.zeros_like(taps)
    for position in range(factors):
        basis = bases[..., position, :, :].unsqueeze(-3)
        moved = taps @ basis @ basis.mT
        kept = taps - moved
        # An odd number of factors leaves an even kernel, whose extra tap lies on the right.
        if position % 2 == 0:
            taps = torch.cat([kept, zero], dim=-3) + torch.cat([zero, moved], dim=-3)
        else:
            taps = torch.cat([zero, kept], dim=-3) + torch.cat([moved, zero], dim=-3)
    return taps


def separable_kernel_2d(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Combine a vertical and a horizontal kernel into a 2-D one, ``K[:, :, a, b] = V_a @ H_b``.

    Args:
        vertical: ``(..., kh, o, c)`` taps.
        horizontal: ``(..., kw, c, i)`` taps.

    Returns:
        ``(..., o, i, kh, kw)``, as ``conv2d`` takes it.
    """
    return torch.einsum("...aoc,...bci->...oiab", vertical, horizontal)


def strided_from_polyphase(kernel: Tensor, stride: tuple[int, int]) -> Tensor:
    """Turn a stride-1 kernel over pixel-unshuffled channels into a strided kernel over pixels.

    ``conv2d(pixel_unshuffle(x), kernel)`` equals ``conv2d(x, result, stride)``.

    Args:
        kernel: ``(o, i * sh * sw, kh, kw)``; channels ordered ``(i, sh, sw)`` as pixel-unshuffle
            orders them.
        stride: ``(sh, sw)``.

    Returns:
        ``(o, i, kh * sh, kw * sw)``.

    Raises:
        ShapeError: where the channels are not a multiple of ``sh * sw``.
    """
    sh, sw = stride
    out_channels, phases, kh, kw = kernel.shape
    if phases % (sh * sw):
        raise ShapeError(f"wanted input channels in multiples of {sh * sw}, got {phases}")
    split = kernel.reshape(out_channels, phases // (sh * sw), sh, sw, kh, kw)
    return split.permute(0, 1, 4, 2, 5, 3).reshape(out_channels, -1, kh * sh, kw * sw)
