"""Matrices with orthonormal columns from unconstrained parameters."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError

__all__ = ["Parametrization", "orthogonal_columns", "parameter_shape"]

Parametrization = Literal["cayley", "matrix_exp"]


def parameter_shape(rows: int, columns: int, method: Parametrization) -> tuple[int, int]:
    """Shape of the unconstrained parameter behind a ``(rows, columns)`` orthonormal matrix."""
    if columns > rows:
        raise ShapeError(f"wanted columns <= rows for orthonormal columns, got {rows}x{columns}")
    if method == "cayley":
        return rows, columns
    if method == "matrix_exp":
        return rows, rows
    raise ConfigurationError(f"unknown parametrization {method!r}: use 'cayley' or 'matrix_exp'")


def orthogonal_columns(
    parameter: Tensor, *, columns: int | None = None, method: Parametrization = "cayley"
) -> Tensor:
    r"""Map an unconstrained matrix to one with orthonormal columns, ``Q^T Q = I``.

    ``cayley`` splits the parameter into a square top ``A`` and a rest ``B``: with
    ``Z = A - A^T + B^T B``,

    .. math:: Q = [(I - Z)(I + Z)^{-1};\; -2 B (I + Z)^{-1}],

    which costs one ``columns``-sized solve. ``matrix_exp`` keeps the leading columns of
    ``exp(A - A^T)``. Either is finished by one Newton-Schulz step, ``Q (3I - Q^T Q) / 2``, which
    squares what is left of the rounding error. Runs outside autocast, in float32 or wider.

    Args:
        parameter: ``(..., rows, k)``; ``k = columns`` for cayley, ``rows`` for matrix_exp.
        columns: columns to keep (default: all of the parameter's).
        method: the parametrization.

    Returns:
        ``(..., rows, columns)``, of the parameter's dtype.

    Raises:
        ShapeError: where the parameter's shape does not fit.

    Source:
        A. Trockman, Z. Kolter, *Orthogonalizing Convolutional Layers with the Cayley Transform*,
        arXiv 2104.07167 (the non-square form is theirs); A. Björck, C. Bowie (1971) for the
        polishing step.

    Example:
        >>> q = orthogonal_columns(torch.randn(5, 3, dtype=torch.float64))
        >>> bool(torch.allclose(q.T @ q, torch.eye(3, dtype=torch.float64)))
        True
    """
    rows, given = parameter.shape[-2:]
    keep = given if columns is None else columns
    expected = parameter_shape(rows, keep, method)
    if (rows, given) != expected:
        raise ShapeError(
            f"{method} wants a parameter of {expected[0]}x{expected[1]} for {rows}x{keep} "
            f"orthonormal columns, got {rows}x{given}"
        )
    if keep == 0:
        return parameter[..., :0]
    with torch.autocast(parameter.device.type, enabled=False):
        wide = parameter if parameter.dtype.itemsize >= 4 else parameter.float()
        q = _cayley(wide) if method == "cayley" else _exponential(wide, keep)
        return _polish(q).to(parameter.dtype)


def _cayley(parameter: Tensor) -> Tensor:
    k = parameter.shape[-1]
    top, rest = parameter[..., :k, :], parameter[..., k:, :]
    z = top - top.mT + rest.mT @ rest
    eye = torch.eye(k, dtype=z.dtype, device=z.device)
    # (I - Z)(I + Z)^-1 = 2 (I + Z)^-1 - I: one inverse serves both blocks.
    inverse = torch.linalg.inv(eye + z)
    return torch.cat([2 * inverse - eye, -2 * rest @ inverse], dim=-2)


def _exponential(parameter: Tensor, columns: int) -> Tensor:
    rotation: Tensor = torch.linalg.matrix_exp(parameter - parameter.mT)
    return rotation[..., :columns]


def _polish(q: Tensor) -> Tensor:
    return 1.5 * q - 0.5 * q @ (q.mT @ q)
