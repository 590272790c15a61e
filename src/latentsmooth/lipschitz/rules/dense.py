"""The norm of a dense layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentsmooth.lipschitz.registry import register_rule
from latentsmooth.lipschitz.rules.rounding import norm_from_square
from latentsmooth.orthogonal import OrthogonalLinear

__all__ = ["dense_bound"]


def dense_bound(weight: Tensor) -> float:
    r"""Upper bound of a matrix's spectral norm.

    ``\|W\|^2 <= 1 + \|W W^T - I\|_F``, tight for near-orthogonal weights, or ``\|W\|_F^2``,
    whichever is smaller.

    Args:
        weight: ``(out, in)``, any float dtype; taken as it is, in float64.

    Returns:
        The bound, with the rounding error of its own computation added.
    """
    matrix = weight.detach().to("cpu", torch.float64)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.mT
    gram = matrix @ matrix.mT
    residual = float((gram - torch.eye(gram.shape[0], dtype=torch.float64)).norm())
    frobenius = float(matrix.square().sum())
    return norm_from_square(min(1 + residual, frobenius), terms=matrix.numel())


@register_rule(OrthogonalLinear, nn.Linear)
def dense(module: OrthogonalLinear | nn.Linear) -> float:
    """The weight in force."""
    with torch.no_grad():
        return dense_bound(module.weight)
