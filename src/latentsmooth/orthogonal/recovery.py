"""From orthonormal columns back to the parameters of each map (float64, one-off)."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

__all__ = ["cayley", "exponential", "householder", "polar"]


def cayley(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Solve for ``A`` and ``B`` after choosing signs that keep ``I + Q_top`` well conditioned."""
    rows, count = columns.shape[-2:]
    signs = torch.stack([_pivoting_signs(matrix[:count]) for matrix in columns])
    signed = columns * signs.unsqueeze(-2)
    top, rest = signed[:, :count], signed[:, count:]
    eye = torch.eye(count, dtype=columns.dtype)
    # Q_top = 2 (I + Z)^-1 - I.
    z = 2 * torch.linalg.inv(eye + top) - eye
    below = -0.5 * rest @ (eye + z)
    skew = z - below.mT @ below
    return torch.cat([skew.tril(-1), below], dim=-2)[:, :rows], signs


def _pivoting_signs(square: Tensor) -> Tensor:
    """Signs of columns for which eliminating ``I + Q D`` meets no pivot below one."""
    left = square.clone()
    count = left.shape[0]
    signs = torch.ones(count, dtype=left.dtype)
    for column in range(count):
        # The pivot is 1 + sign * entry: the sign that makes the product positive is safe.
        signs[column] = 1.0 if left[column, column] >= 0 else -1.0
        pivot = 1 + left[column, column].abs()
        weights = left[column + 1 :, column] * (signs[column] / pivot)
        left[column + 1 :] -= torch.outer(weights, left[column])
    return signs


def exponential(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Complete to a rotation and take its logarithm, plane by plane."""
    rows, count = columns.shape[-2:]
    parameters, signs = [], []
    for matrix in columns:
        sign = torch.ones(count, dtype=columns.dtype)
        # Householder QR: the leading columns of the whole Q are the matrix's, up to signs.
        complete, triangle = torch.linalg.qr(matrix, mode="complete")
        complete[:, :count] *= triangle.diagonal().sign()
        if torch.linalg.det(complete) < 0:
            if count < rows:
                complete[:, -1].neg_()
            else:
                complete[:, 0].neg_()
                sign[0] = -1.0
        parameters.append(torch.from_numpy(_rotation_logarithm(complete.numpy())).tril(-1))
        signs.append(sign)
    return torch.stack(parameters), torch.stack(signs)


def _rotation_logarithm(rotation: np.ndarray) -> np.ndarray:
    """The skew ``S`` with ``exp(S) = rotation``: a real Schur form is block diagonal here."""
    blocks, basis = scipy.linalg.schur(rotation, output="real")
    logarithm = np.zeros_like(blocks)
    reversed_axes = []
    position = 0
    while position < len(blocks):
        below = blocks[position + 1, position] if position + 1 < len(blocks) else 0.0
        if abs(below) > 1e-12:
            angle = np.arctan2(below, blocks[position, position])
            logarithm[position + 1, position] = angle
            logarithm[position, position + 1] = -angle
            position += 2
            continue
        if blocks[position, position] < 0:
            reversed_axes.append(position)
        position += 1
    # A determinant of one leaves an even number of reversed axes: pairs turn by half a circle.
    for first, second in zip(reversed_axes[::2], reversed_axes[1::2], strict=True):
        logarithm[second, first], logarithm[first, second] = np.pi, -np.pi
    skew: np.ndarray = basis @ logarithm @ basis.T
    return skew


def householder(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Read the reflections off a QR decomposition, whose triangle holds only signs."""
    packed, scales = torch.geqrf(columns)
    # LAPACK's last reflection of a square matrix is the identity (scale 0), and any other may be
    # where a column is already in place; a reflection along a unit vector flips that sign instead.
    signs = packed.diagonal(dim1=-2, dim2=-1).sign()
    signs = torch.where(scales == 0, -signs, signs)
    return packed.tril(-1) * (scales != 0).unsqueeze(-2), signs


def polar(columns: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal matrix is its own polar factor."""
    return columns.clone(), columns.new_ones(columns.shape[0], columns.shape[-1])
