"""Bounds that a user states."""

from __future__ import annotations

from latentsmooth.lipschitz.declared import DeclaredLipschitz
from latentsmooth.lipschitz.power import check_bound
from latentsmooth.lipschitz.registry import register_rule

__all__: list[str] = []


@register_rule(DeclaredLipschitz)
def declared(module: DeclaredLipschitz) -> float:
    """The statement, where no power iteration contradicts it."""
    check_bound(module.module, module.input_shape, module.bound, type(module.module).__name__)
    return module.bound
