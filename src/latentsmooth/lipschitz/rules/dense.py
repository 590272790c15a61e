"""The norm of a dense layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from latentsmooth.errors import UnverifiedModule
from latentsmooth.lipschitz.certified import Ceiling
from latentsmooth.lipschitz.registry import register_rule
from latentsmooth.lipschitz.rules.rounding import FLOAT64_UNIT, add_up, root_up, widen
from latentsmooth.lipschitz.scaled import times_power_of_two, unit_scaled
from latentsmooth.orthogonal import OrthogonalLinear

__all__ = ["dense_bound"]

# A bound this close to the truth is not worth the search for a better one.
TIGHT = 1e-3
# Larger matrices, by their smaller side, have their Frobenius norm as bound.
MOST_ROWS = 4096


def dense_bound(weight: Tensor) -> float:
    r"""Upper bound of a matrix's spectral norm.

    The smallest of ``\|W\|^2 <= c + \|W W^T - c I\|_F``, tight for multiples of near-orthogonal
    weights, of ``\|W\|_F``, and, for matrices with a side of at most 4096, of a certified level
    over the eigenvalues of ``W W^T`` (`latentsmooth.lipschitz.certified.Ceiling`).

    Args:
        weight: ``(out, in)``, any float dtype; taken as it is, in float64.

    Returns:
        The bound, with the rounding error of its own computation added.

    Example:
        >>> 2.0 <= dense_bound(torch.diag(torch.tensor([2.0, 1.0]))) < 2.0 + 1e-8
        True
    """
    if not weight.is_floating_point():
        raise UnverifiedModule(f"a matrix of {weight.dtype} has no rule; wanted real numbers")
    matrix = weight.detach().to("cpu", torch.float64)
    if not bool(matrix.isfinite().all()):
        return math.nan
    matrix, exponent = unit_scaled(matrix)
    return times_power_of_two(_norm(matrix), exponent)


def _norm(matrix: Tensor) -> float:
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.mT
    rows, columns = matrix.shape
    squares = float(matrix.square().sum())
    frobenius = root_up(widen(squares, roundings=matrix.numel()))
    gram = matrix @ matrix.mT
    level = float(gram.diagonal().mean())
    residual = min(
        c + float((gram - c * torch.eye(rows, dtype=torch.float64)).norm()) for c in (1.0, level)
    )
    # Each entry of the Gram matrix is a sum of so many products; together their errors are at
    # most as large as the squared Frobenius norm times that many units.
    error = 4 * (columns + 8) * FLOAT64_UNIT * squares
    best = min(frobenius, root_up(add_up(widen(residual, roundings=rows**2), error)))
    # The mean of the squared singular values is the level.
    if best**2 <= level * (1 + 2 * TIGHT) or rows > MOST_ROWS:
        return best
    ceiling = Ceiling()
    ceiling.cover(matrix[None])
    return min(best, ceiling.norm)


@register_rule(OrthogonalLinear, nn.Linear)
def dense(module: OrthogonalLinear | nn.Linear) -> float:
    """The weight in force."""
    with torch.no_grad():
        return dense_bound(module.weight)
