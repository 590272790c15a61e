"""Modules that run others one after the other."""

from __future__ import annotations

from torch import nn

from latentsmooth.lipschitz.registry import BoundOf, register_composite_rule
from latentsmooth.lipschitz.rules.rounding import multiply_up

__all__ = ["chain"]


@register_composite_rule(nn.Sequential)
def chain(module: nn.Sequential, bound_of: BoundOf) -> float:
    """The product; a module that stands twice in the chain acts twice."""
    # named_children would skip a module's second place.
    names = [name for name, child in module._modules.items() if child is not None]
    return multiply_up(*(bound_of(name) for name in names))
