"""Orthonormal matrices to start from."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError

__all__ = ["Initialisation", "check_initialisation", "draw_orthonormal"]

Initialisation = Literal["haar", "identity", "permutation", "torus"]


def check_initialisation(name: str) -> None:
    """Raise a `ConfigurationError` for an unknown name."""
    if name not in get_args(Initialisation):
        known = ", ".join(repr(each) for each in get_args(Initialisation))
        raise ConfigurationError(f"unknown initialisation {name!r}: use one of {known}")


def draw_orthonormal(rows: int, columns: int, init: Initialisation = "haar") -> Tensor:
    """Draw a ``(rows, columns)`` matrix with orthonormal columns, in float64 on the CPU.

    - ``haar``: uniform over all such matrices.
    - ``identity``: the leading columns of the identity.
    - ``permutation``: distinct columns of the identity in random order.
    - ``torus``: leading columns of a rotation by uniform angles in the planes of axes ``i`` and
      ``i + rows // 2``.

    Args:
        rows: length of a column.
        columns: their number, at most ``rows``.
        init: the distribution.

    Source:
        F. Mezzadri, arXiv math-ph/0609050 (Haar by a sign-corrected QR); M. Lezcano-Casado,
        D. Martínez-Rubio, arXiv 1901.08428 (torus).

    Example:
        >>> draw_orthonormal(3, 2, "identity").tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    check_initialisation(init)
    if init == "haar":
        q, triangle = torch.linalg.qr(torch.randn(rows, columns, dtype=torch.float64))
        uniform: Tensor = q * triangle.diagonal().sign()
        return uniform
    eye = torch.eye(rows, dtype=torch.float64)
    if init == "identity":
        return eye[:, :columns]
    if init == "permutation":
        return eye[:, torch.randperm(rows)[:columns]]
    angles = (2 * torch.rand(rows // 2, dtype=torch.float64) - 1) * math.pi
    half = torch.arange(rows // 2)
    # Axes of the two halves are paired: neighbours would leave the leading half's span in place,
    # and with it a projection onto that half.
    partner = half + rows // 2
    eye[half, half] = eye[partner, partner] = angles.cos()
    eye[partner, half], eye[half, partner] = angles.sin(), -angles.sin()
    return eye[:, :columns]
