"""Paraunitary convolution kernels: orthogonal at every frequency, hence at every image size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from latentsmooth.errors import ShapeError

__all__ = [
    "narrow_paraunitary_kernel",
    "paraunitary_kernel_1d",
    "polyphase",
    "separable_kernel",
    "strided_from_polyphase",
]


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
    channels = bases.shape[-2]
    eye = torch.eye(channels, dtype=bases.dtype, device=bases.device)
    return _times_factors(eye.expand(*bases.shape[:-3], 1, channels, channels), bases, axis=-3)


def narrow_paraunitary_kernel(mixing: Tensor, bases: Sequence[Tensor], *, growing: bool) -> Tensor:
    r"""A separable paraunitary kernel cut to fewer channels on one side, without the whole of it.

    The square kernel is :math:`V(z) H(w) \cdots` over ``channels`` channels with 1-D factors as in
    `paraunitary_kernel_1d`; the result is that kernel times ``M`` on the right (growing), or
    ``M^T`` times it (narrowing). Factors are applied one after another to the narrow matrix, each
    through its basis, so that no square matrix is ever formed.

    Args:
        mixing: ``M``, ``(..., channels, narrow)`` with orthonormal columns.
        bases: for each axis ``(..., taps - 1, channels, rank)``, orthonormal columns.
        growing: whether outputs are the many channels.

    Returns:
        ``(..., outputs, inputs, *taps)``.

    Example:
        >>> q = torch.linalg.qr(torch.randn(8, 3)).Q
        >>> bases = torch.linalg.qr(torch.randn(2, 8, 4)).Q
        >>> narrow_paraunitary_kernel(q, [bases, bases], growing=True).shape
        torch.Size([8, 3, 3, 3])
    """
    axes = len(bases)
    lead = mixing.ndim - 2
    channels, narrow = mixing.shape[-2:]
    taps = mixing.mT.reshape(*mixing.shape[:-2], *(1,) * axes, narrow, channels)
    # Transposed, the factors keep their form and come in reverse: both cases multiply on the right.
    order = range(axes - 1, -1, -1) if growing else range(axes)
    for axis in order:
        taps = _times_factors(taps, bases[axis], axis=axis - axes - 2, reverse=growing)
    outputs_last = [lead + axes + 1, lead + axes] if growing else [lead + axes, lead + axes + 1]
    return taps.permute(*range(lead), *outputs_last, *range(lead, lead + axes))


def _times_factors(taps: Tensor, bases: Tensor, *, axis: int, reverse: bool = False) -> Tensor:
    """Multiply on the right by ``V_1 V_2 ...`` along a tap axis, or by them in reverse order."""
    count = bases.shape[-3]
    lead = bases.ndim - 3
    for position in reversed(range(count)) if reverse else range(count):
        basis = bases.select(-3, position)
        # One matrix product for all taps: broadcasting the basis over them costs copies and sums.
        rows = taps.flatten(lead, -2)
        moved = ((rows @ basis) @ basis.mT).reshape(taps.shape)
        kept = taps - moved
        # An odd number of factors leaves an even kernel, whose extra tap lies on the right.
        first, last = (kept, moved) if position % 2 == 0 else (moved, kept)
        length = taps.shape[axis]
        if length == 1:
            taps = torch.cat([first, last], dim=axis)
            continue
        inner = first.narrow(axis, 1, length - 1) + last.narrow(axis, 0, length - 1)
        ends = first.narrow(axis, 0, 1), last.narrow(axis, length - 1, 1)
        taps = torch.cat([ends[0], inner, ends[1]], dim=axis)
    return taps


def separable_kernel(*factors: Tensor) -> Tensor:
    """Combine one 1-D kernel an axis into an N-D one, ``K[:, :, a, b] = V_a @ H_b``.

    Args:
        factors: for each axis ``(..., taps, outputs, inputs)``; neighbours' channels meet.

    Returns:
        ``(..., o, i, *taps)``, as ``conv1d``, ``conv2d`` or ``conv3d`` takes it.

    Raises:
        ShapeError: for none or more than three axes.

    Example:
        >>> separable_kernel(torch.rand(3, 8, 4), torch.rand(5, 4, 2)).shape
        torch.Size([8, 2, 3, 5])
    """
    if not 1 <= len(factors) <= 3:
        raise ShapeError(f"wanted a factor for each of one to three axes, got {len(factors)}")
    kernel = factors[0].movedim(-3, -1)
    for factor in factors[1:]:
        *lead, outputs, _ = kernel.shape[: factor.ndim - 1]
        taps = kernel.shape[factor.ndim - 1 :]
        # (..., o, taps so far, c) @ (..., c, taps * i): one matrix product for the whole axis.
        rows = kernel.flatten(factor.ndim - 1).mT.reshape(*lead, -1, factor.shape[-2])
        columns = factor.movedim(-3, -1).flatten(-2)
        product = (rows @ columns).reshape(*lead, outputs, *taps, factor.shape[-1], -1)
        kernel = product.movedim(-2, len(lead) + 1)
    return kernel


def strided_from_polyphase(kernel: Tensor, stride: Sequence[int]) -> Tensor:
    """Turn a stride-1 kernel over pixel-unshuffled channels into a strided kernel over pixels.

    ``conv2d(pixel_unshuffle(x), kernel)`` equals ``conv2d(x, result, stride)``.

    Args:
        kernel: ``(..., o, i * prod(stride), *taps)``; channels ordered ``(i, *stride)`` as
            pixel-unshuffle orders them.
        stride: one number an axis.

    Returns:
        ``(..., o, i, *(taps * stride))``.

    Raises:
        ShapeError: where the channels are not a multiple of the strides' product.
    """
    axes = len(stride)
    lead = kernel.ndim - axes - 1
    phases, taps = kernel.shape[lead], kernel.shape[lead + 1 :]
    if phases % math.prod(stride):
        raise ShapeError(f"wanted channels in multiples of {math.prod(stride)}, got {phases}")
    if math.prod(stride) == 1:
        return kernel
    split = kernel.reshape(*kernel.shape[:lead], -1, *stride, *taps)
    # Each axis' phase follows its tap: (i, sh, sw, kh, kw) to (i, kh, sh, kw, sw).
    order = [lead + 1 + axis + part for axis in range(axes) for part in (axes, 0)]
    moved = split.permute(*range(lead + 1), *order)
    sides = [tap * step for tap, step in zip(taps, stride, strict=True)]
    return moved.reshape(*kernel.shape[:lead], -1, *sides)


def polyphase(kernel: Tensor, stride: Sequence[int]) -> Tensor:
    """The stride-1 kernel over pixel-unshuffled channels: `strided_from_polyphase` undone.

    Args:
        kernel: ``(groups, outputs, inputs, *taps)``.
        stride: step of each axis.

    Returns:
        ``(groups, outputs, inputs * product of strides, *ceil(taps / stride))``.
    """
    for axis, step in enumerate(stride, start=3):
        if step == 1:
            continue
        taps = kernel.shape[axis]
        missing = -taps % step
        if missing:
            filling = kernel.new_zeros(*kernel.shape[:axis], missing, *kernel.shape[axis + 1 :])
            kernel = torch.cat([kernel, filling], dim=axis)
        sizes = kernel.shape
        split = kernel.reshape(*sizes[:axis], sizes[axis] // step, step, *sizes[axis + 1 :])
        kernel = split.movedim(axis + 1, 3).flatten(2, 3)
    return kernel
