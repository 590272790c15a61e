"""Independent answers that the tests compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.functional import jacobian


def dense_jacobian(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """A map's Jacobian at one point, ``(outputs, inputs)``."""
    dense: Tensor = jacobian(function, point)  # type: ignore[no-untyped-call]
    return dense.reshape(-1, point.numel())


def singular_values(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
    """Singular values of a map's dense Jacobian at a random point, in float64."""
    point = torch.randn(1, *shape, dtype=torch.float64)
    values: Tensor = torch.linalg.svdvals(dense_jacobian(function, point))
    return values
