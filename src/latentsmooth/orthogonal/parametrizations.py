"""The maps from unconstrained parameters to orthonormal columns, before polishing."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cayley", "exponential", "householder", "polar"]

# Odd quintic steps: the first kind lifts small singular values by 3.44 a step and settles in
# [0.7, 1.2] (K. Jordan et al., Muon, 2024); the second converges from there to one, cubically.
LIFTING_STEP = (3.4445, -4.7750, 2.0315)
LIFTING_STEPS = 8
CLOSING_STEP = (15 / 8, -10 / 8, 3 / 8)
CLOSING_STEPS = 4


def cayley(parameter: Tensor, columns: int) -> Tensor:
    """``[(I - Z)(I + Z)^-1; -2 B (I + Z)^-1]`` with ``Z = A - A^T + B^T B``."""
    top, rest = parameter[..., :columns, :], parameter[..., columns:, :]
    z = top - top.mT + rest.mT @ rest
    eye = torch.eye(columns, dtype=z.dtype, device=z.device)
    # (I - Z)(I + Z)^-1 = 2 (I + Z)^-1 - I: one inverse serves both blocks.
    inverse = torch.linalg.inv(eye + z)
    return torch.cat([2 * inverse - eye, -2 * rest @ inverse], dim=-2)


def exponential(parameter: Tensor, columns: int) -> Tensor:
    """The leading columns of ``exp(A - A^T)``."""
    rotation: Tensor = torch.linalg.matrix_exp(parameter - parameter.mT)
    return rotation[..., :columns]


def householder(parameter: Tensor, columns: int) -> Tensor:
    """The leading columns of ``H_1 H_2 ...``, reflections along unit-lower-trapezoidal columns.

    ``H_1 ... H_c = I - V T^-1 V^T`` with ``T`` the strict upper triangle of ``V^T V`` plus half
    its diagonal. The unit diagonal of ``V`` keeps every vector away from zero.
    """
    eye = torch.eye(*parameter.shape[-2:], dtype=parameter.dtype, device=parameter.device)
    vectors = parameter.tril(-1) + eye
    gram = vectors.mT @ vectors
    triangle = gram.triu(1) + torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1) / 2)
    head = vectors[..., :columns, :].mT
    solved: Tensor = torch.linalg.solve_triangular(triangle, head, upper=True)
    return eye - vectors @ solved


def polar(parameter: Tensor, columns: int) -> Tensor:
    """The orthonormal factor of ``parameter = Q S``, by Newton-Schulz steps from below norm one."""
    gram = parameter.mT @ parameter
    # sigma_max <= |P^T P|_F^(1/2); the square of the Gram matrix brings the bound closer.
    largest = (gram @ gram).square().sum(dim=(-2, -1), keepdim=True).pow(0.125)
    tiny = torch.finfo(parameter.dtype).tiny
    q = parameter / largest.clamp_min(tiny)
    for step in (LIFTING_STEP,) * LIFTING_STEPS + (CLOSING_STEP,) * CLOSING_STEPS:
        first, second, third = step
        gram = q.mT @ q
        q = first * q + q @ (second * gram + third * gram @ gram)
    return q
