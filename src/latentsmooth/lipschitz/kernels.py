"""Upper bounds of the norm of a convolution, from its kernel, for any image size."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from latentsmooth.errors import ShapeError, UnverifiedModule
from latentsmooth.lipschitz.certified import Ceiling
from latentsmooth.lipschitz.rules.rounding import (
    FLOAT64_UNIT,
    add_up,
    multiply_up,
    root_up,
    widen,
)
from latentsmooth.lipschitz.scaled import times_power_of_two, unit_scaled
from latentsmooth.lipschitz.spectral import frequency_bound, is_affordable
from latentsmooth.orthogonal.kernel import polyphase

__all__ = ["convolution_bound"]

# A bound this close to the truth is not worth the search for a better one.
TIGHT = 1e-3
# A kernel whose lag-0 correlation is farther than this from a multiple of the identity is not
# near-orthogonal, and the other lags need not be computed.
NEAR = 0.2
REMEMBERED = 256

_known: dict[bytes, float] = {}


def convolution_bound(
    weight: Tensor,
    stride: int | Sequence[int] = 1,
    *,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> float:
    r"""Upper bound of the spectral norm of a convolution in any number of dimensions.

    The smallest of three. With ``R_t`` the kernel's channel autocorrelation at lag ``t``, after
    pixel-unshuffling by the stride, and ``c`` any number,

    .. math:: \|conv_W\|^2 \le c + \sum_t \| R_t - [t = 0] c I \|_F,

    because the norm of the residual operator is at most the sum of its taps' norms: tight for
    multiples of near-orthogonal kernels. For the others, the gain on a grid of frequencies
    (`latentsmooth.lipschitz.spectral.frequency_bound`) or, where that would take too long, the
    norms of the taps. All hold for every image size, for zero padding and, where the stride
    divides the image, circular padding.

    A dilation ``d`` only permutes the frequencies. With a stride ``s`` that has no factor in
    common with it, it also permutes and shifts the phases, which costs nothing; a common factor
    ``g`` means that only every ``g``-th pixel is read, so that stride ``s / g`` and dilation
    ``d / g`` on those pixels are the same map. The transposed convolution is the adjoint and has
    the same norm.

    Args:
        weight: ``(outputs, inputs / groups, *taps)``, any float dtype; taken as it is, in
            float64. For a transposed convolution its own weight, ``(inputs, outputs / groups,
            *taps)``.
        stride: step, one number or one an axis.
        dilation: spacing of the taps, likewise.
        groups: blocks of channels convolved apart.

    Returns:
        The bound, with the rounding error of its own computation added.

    Source:
        The residual argument is elementary; kernels as in J. Su, W. Byeon, F. Huang,
        arXiv 2106.09121.

    Example:
        >>> round(convolution_bound(torch.eye(4).reshape(4, 4, 1, 1)), 9)
        1.0
    """
    if not weight.is_floating_point():
        raise UnverifiedModule(f"a kernel of {weight.dtype} has no rule; wanted real numbers")
    steps = _coprime_steps(stride, dilation, axes=weight.ndim - 2)
    kernel = weight.detach().to("cpu", torch.float64)
    if not bool(kernel.isfinite().all()):
        return math.nan
    if kernel.shape[0] % groups:
        raise ShapeError(f"{groups} groups do not divide a weight of {tuple(kernel.shape)}")
    kernel = polyphase(kernel.reshape(groups, -1, *kernel.shape[1:]), steps)
    digest = hashlib.sha256(kernel.contiguous().numpy().tobytes())
    digest.update(repr(tuple(kernel.shape)).encode())
    key = digest.digest()
    if key not in _known:
        if len(_known) >= REMEMBERED:
            _known.clear()
        kernel, exponent = unit_scaled(kernel)
        _known[key] = times_power_of_two(_smallest_bound(kernel), exponent)
    return _known[key]


def _coprime_steps(
    stride: int | Sequence[int], dilation: int | Sequence[int], *, axes: int
) -> tuple[int, ...]:
    strides = (stride,) * axes if isinstance(stride, int) else tuple(stride)
    dilations = (dilation,) * axes if isinstance(dilation, int) else tuple(dilation)
    if len(strides) != axes or len(dilations) != axes:
        raise ShapeError(
            f"wanted {axes} strides and dilations, got {tuple(strides)} and {tuple(dilations)}"
        )
    return tuple(s // math.gcd(s, d) for s, d in zip(strides, dilations, strict=True))


def _smallest_bound(kernel: Tensor) -> float:
    if kernel.shape[1] > kernel.shape[2]:
        kernel = kernel.transpose(1, 2)
    by_residual, tight = _residual_bound(kernel)
    if tight:
        return by_residual
    by_taps = _tap_bound(kernel)
    best = min(by_residual, by_taps)
    if is_affordable(kernel.shape):
        return min(best, frequency_bound(kernel, give_up_at=best))
    return min(best, _flat_bound(kernel))


def _residual_bound(kernel: Tensor) -> tuple[float, bool]:
    """The bound by autocorrelation, and whether it is known to be tight."""
    groups, outputs, inputs, *taps = kernel.shape
    products = inputs * math.prod(taps)
    lags = math.prod(2 * size - 1 for size in taps)
    # Errors of the correlations, summed over lags: each entry is a sum of so many products.
    by_tap = kernel.flatten(1, 2).flatten(2).norm(dim=1).sum(dim=-1)
    errors = 4 * (products + 8) * FLOAT64_UNIT * by_tap.square()
    bound, tight = 0.0, True
    eye = torch.eye(outputs, dtype=torch.float64)
    correlations = _autocorrelation(kernel)
    centre = next(correlations)
    levels = centre.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    near = (centre - levels[:, None, None] * eye).norm(dim=(-2, -1)) <= NEAR * levels
    if not bool(near.all()):
        return math.inf, False
    others = torch.zeros(groups, dtype=torch.float64)
    for correlation in correlations:
        others += 2 * correlation.norm(dim=(-2, -1))
    for group in range(groups):
        level = float(levels[group])
        squares = [
            c + float((centre[group] - c * eye).norm()) + float(others[group]) for c in {1.0, level}
        ]
        square = min(squares)
        roundings = outputs**2 + lags
        bound = max(bound, add_up(widen(square, roundings=roundings), float(errors[group])))
        # The mean of the squared singular values over all frequencies is the level.
        tight = tight and square <= level * (1 + 2 * TIGHT)
    return root_up(bound), tight


def _autocorrelation(kernel: Tensor) -> Iterator[Tensor]:
    """``R_t = sum_s W_s W_{s+t}^T`` of each group: lag zero, then one of each pair ``+-t``."""
    taps = kernel.shape[3:]
    for lag in itertools.product(*(range(1 - size, size) for size in taps)):
        if lag < (0,) * len(taps):
            continue
        first = second = kernel
        for axis, (shift, size) in enumerate(zip(lag, taps, strict=True), start=3):
            overlap = size - abs(shift)
            first = first.narrow(axis, max(0, -shift), overlap)
            second = second.narrow(axis, max(0, shift), overlap)
        yield first.flatten(2) @ second.flatten(2).mT


def _tap_bound(kernel: Tensor) -> float:
    """The sum over taps of their Frobenius norms."""
    by_tap = kernel.flatten(1, 2).flatten(2).norm(dim=1).sum(dim=-1)
    return widen(float(by_tap.max()), roundings=kernel[0].numel())


def _flat_bound(kernel: Tensor) -> float:
    """``sqrt(taps)`` times the norm of the kernel as one matrix, ``outputs x (inputs taps)``."""
    ceiling = Ceiling()
    for group in kernel:
        ceiling.cover(group.flatten(1)[None])
    return multiply_up(root_up(float(math.prod(kernel.shape[3:]))), ceiling.norm)
