"""Taking a separable paraunitary kernel apart again."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["peel_factors"]


def peel_factors(
    kernel: Tensor, rank: int, *, transposed: bool, tolerance: float
) -> tuple[Tensor, Tensor]:
    r"""Find ``M`` and the bases ``U_i`` of a kernel ``V(z) H(w) M`` with such factors.

    Each factor ``V_i = (I - U U^T) + U U^T z^{\pm 1}`` is read off the outermost tap, whose columns
    it spans, and divided out, which shortens the kernel by that tap. Where the tap does not span
    all of ``U``, the rest is free within the complement of the opposite tap's columns.

    Args:
        kernel: ``(o, i, *taps)``, float64, at stride 1.
        rank: columns of each basis.
        transposed: whether the mixing matrix stands on the left, ``M^T V(z) H(w)``.
        tolerance: singular values of a tap below it count as zero.

    Returns:
        ``M`` of ``(channels, narrow)``, and the bases, ``(factors, channels, rank)``, in the order
        in which `paraunitary_kernel_1d` takes them, axis after axis. For a kernel that is no such
        product they give another kernel: compare.
    """
    axes = list(range(kernel.ndim - 2))
    if transposed:
        kernel = kernel.transpose(0, 1)
        axes.reverse()
    bases: dict[int, list[Tensor]] = {}
    for axis in axes:
        taps = kernel.movedim(2 + axis, 0)
        degree = taps.shape[0] - 1
        order = list(range(degree))
        if transposed:
            order.reverse()
        found = {}
        flat = taps.flatten(2)
        for position in order:
            # Even positions shift to the right: see `paraunitary_kernel_1d`.
            from_the_end = position % 2 == 0
            found[position], flat = _peel(flat, rank, from_the_end, tolerance)
        bases[axis] = [found[position] for position in range(degree)]
        kernel = flat.reshape(1, *taps.shape[1:]).movedim(0, 2 + axis)
    stacked = [basis for axis in sorted(bases) for basis in bases[axis]]
    mixing = kernel.reshape(kernel.shape[:2])
    empty = mixing.new_empty(0, kernel.shape[0], rank)
    # The product of the peelings is orthogonal only up to rounding; the nearest columns are.
    left, _, right = torch.linalg.svd(mixing, full_matrices=False)
    return left @ right, torch.stack(stacked) if stacked else empty


def _peel(taps: Tensor, rank: int, from_the_end: bool, tolerance: float) -> tuple[Tensor, Tensor]:
    """Divide one factor out of ``(taps, channels, columns)`` on the left."""
    outer, opposite = (taps[-1], taps[0]) if from_the_end else (taps[0], taps[-1])
    left, values, _ = torch.linalg.svd(outer, full_matrices=True)
    spanned = min(int((values > tolerance).sum()), rank)
    basis = left[:, :spanned]
    if spanned < rank:
        taken, sizes, _ = torch.linalg.svd(torch.cat([basis, opposite], dim=1))
        used = min(int((sizes > tolerance).sum()), taken.shape[1] - (rank - spanned))
        basis = torch.cat([basis, taken[:, used : used + rank - spanned]], dim=1)
    moved = basis @ (basis.mT @ taps)
    kept = taps - moved
    shortened = kept[:-1] + moved[1:] if from_the_end else kept[1:] + moved[:-1]
    return basis, shortened
