"""Modules in which several paths lead from the input to the output."""

from __future__ import annotations

import math

import torch

from latentsmooth.lipschitz.registry import BoundOf, register_composite_rule
from latentsmooth.lipschitz.rules.rounding import add_up, multiply_up, root_of_squares_up
from latentsmooth.orthogonal import ConcatenativeResidual, ConvexResidual, Parallel

__all__: list[str] = []


@register_composite_rule(ConvexResidual)
def convex_residual(module: ConvexResidual, bound_of: BoundOf) -> float:
    """``|1 - a| + |a| L``, with the share in force: reading it in float64 is exact."""
    with torch.no_grad():
        share = float(module.alpha.double())
    rest = abs(1.0 - share)
    if 1.0 - (1.0 - share) != share:
        rest = math.nextafter(rest, math.inf)
    return add_up(rest, multiply_up(abs(share), bound_of("branch")))


@register_composite_rule(ConcatenativeResidual)
def concatenative_residual(module: ConcatenativeResidual, bound_of: BoundOf) -> float:
    """The channels that pass and those that are transformed lie in different coordinates."""
    return max(1.0, bound_of("branch"))


@register_composite_rule(Parallel)
def parallel(module: Parallel, bound_of: BoundOf) -> float:
    """Squares add up: the branches' results lie in different coordinates."""
    return root_of_squares_up(
        *(bound_of(f"branches.{number}") for number in range(len(module.branches)))
    )
