"""Matrices with orthonormal columns from unconstrained parameters, and back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.orthogonal import parametrizations as maps
from latentsmooth.orthogonal import recovery

__all__ = [
    "Parametrization",
    "check_parametrization",
    "orthogonal_columns",
    "outside_autocast",
    "parameter_shape",
    "recover_parameter",
]

Parametrization = Literal["cayley", "matrix_exp", "householder", "polar"]

ORTHONORMAL_TOLERANCE = 1e-4


class _Method(NamedTuple):
    forward: Callable[[Tensor, int], Tensor]
    backward: Callable[[Tensor], tuple[Tensor, Tensor]]
    polishing_steps: int


# Far from the origin the first three lose more digits than one polishing step restores.
_METHODS: dict[str, _Method] = {
    "cayley": _Method(maps.cayley, recovery.cayley, 2),
    "matrix_exp": _Method(maps.exponential, recovery.exponential, 2),
    "householder": _Method(maps.householder, recovery.householder, 2),
    "polar": _Method(maps.polar, recovery.polar, 1),
}


def check_parametrization(method: str) -> None:
    """Raise a `ConfigurationError` for an unknown name."""
    if method not in _METHODS:
        known = ", ".join(repr(name) for name in get_args(Parametrization))
        raise ConfigurationError(f"unknown parametrization {method!r}: use one of {known}")


def parameter_shape(rows: int, columns: int, method: Parametrization) -> tuple[int, int]:
    """Shape of the unconstrained parameter behind a ``(rows, columns)`` orthonormal matrix."""
    check_parametrization(method)
    if columns > rows:
        raise ShapeError(f"wanted columns <= rows for orthonormal columns, got {rows}x{columns}")
    return (rows, rows) if method == "matrix_exp" else (rows, columns)


def orthogonal_columns(
    parameter: Tensor, *, columns: int | None = None, method: Parametrization = "cayley"
) -> Tensor:
    r"""Map an unconstrained matrix to one with orthonormal columns, ``Q^T Q = I``.

    - ``cayley`` splits the parameter into a square top ``A`` and a rest ``B``: with
      ``Z = A - A^T + B^T B``, ``Q = [(I - Z)(I + Z)^{-1}; -2 B (I + Z)^{-1}]``: one
      ``columns``-sized inverse.
    - ``matrix_exp`` keeps the leading columns of ``exp(A - A^T)``.
    - ``householder`` multiplies reflections along the unit-lower-trapezoidal columns of the
      parameter, all at once through the triangular matrix of their products.
    - ``polar`` is the nearest orthonormal matrix, by Newton-Schulz iteration; it needs a parameter
      of full column rank and contracts where the rank is numerically lost.

    Each is finished by Newton-Schulz steps, ``Q (3I - Q^T Q) / 2``, which square what is left of
    the rounding error and have no part in the derivative. All are batched over leading dimensions.
    Runs outside autocast, in float32 or wider.

    Args:
        parameter: ``(..., rows, k)``; ``k = rows`` for matrix_exp, ``columns`` for the others.
        columns: columns to keep (default: all of the parameter's).
        method: the parametrization.

    Returns:
        ``(..., rows, columns)``, of the parameter's dtype.

    Raises:
        ShapeError: where the parameter's shape does not fit.

    Source:
        A. Trockman, Z. Kolter, arXiv 2104.07167 (non-square Cayley); T. Joffrain et al. (2006)
        and V. Likhosherstov et al., arXiv 2004.08675 (products of reflections); Å. Björck,
        C. Bowie (1971) (Newton-Schulz).

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
    with outside_autocast(parameter.device):
        wide = parameter if parameter.dtype.itemsize >= 4 else parameter.float()
        entry = _METHODS[method]
        q = entry.forward(wide, keep)
        return (q + _correction(q.detach(), entry.polishing_steps)).to(parameter.dtype)


def outside_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Autocast switched off, on the devices that have it."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _correction(q: Tensor, steps: int) -> Tensor:
    """What Newton-Schulz steps add: rounding error only, so no derivative passes through it."""
    polished = q
    eye = torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    for _ in range(steps):
        # As a small change of q: 1.5 q - 0.5 q (q^T q) would round the whole of q twice.
        polished = polished + 0.5 * polished @ (eye - polished.mT @ polished)
    return polished - q


def recover_parameter(
    columns: Tensor, *, method: Parametrization = "cayley"
) -> tuple[Tensor, Tensor]:
    """Find a parameter behind a matrix with orthonormal columns, up to signs of columns.

    ``orthogonal_columns(parameter) * signs`` gives the matrix back. The signs are needed because a
    parametrization by itself reaches only part of the orthogonal matrices: Cayley and the
    exponential those of determinant one, for instance.

    Args:
        columns: ``(..., rows, columns)`` with orthonormal columns.
        method: the parametrization.

    Returns:
        The parameter, shaped as `parameter_shape` says, and the signs ``(..., columns)``, +-1;
        both of the matrix's dtype.

    Raises:
        ShapeError: where the columns are not orthonormal, or more than the rows.

    Example:
        >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> parameter, signs = recover_parameter(swap)
        >>> bool(torch.allclose(orthogonal_columns(parameter) * signs, swap, atol=1e-6))
        True
    """
    rows, count = columns.shape[-2:]
    shape = parameter_shape(rows, count, method)
    lead = columns.shape[:-2]
    if columns.numel() == 0:
        return columns.new_zeros(*lead, *shape), columns.new_ones(*lead, count)
    exact = columns.detach().to("cpu", torch.float64).reshape(-1, rows, count)
    error = float((exact.mT @ exact - torch.eye(count, dtype=torch.float64)).abs().max())
    if not error <= ORTHONORMAL_TOLERANCE:
        raise ShapeError(
            f"wanted orthonormal columns, got a {rows}x{count} matrix whose Gram matrix is "
            f"{error:.1e} from the identity"
        )
    parameter, signs = _METHODS[method].backward(exact)
    return (
        parameter.reshape(*lead, *shape).to(columns),
        signs.reshape(*lead, count).to(columns),
    )
