"""Rounding that a user states."""

from __future__ import annotations

from latentsmooth.lipschitz.declared import DeclaredLipschitz
from latentsmooth.lipschitz.roundoff.table import Step, stated_rounding_rule

__all__: list[str] = []


@stated_rounding_rule(DeclaredLipschitz)
def declared(module: DeclaredLipschitz, step: Step) -> float:
    """The statement beside that of the Lipschitz constant; nothing tests it."""
    return step.of_both(module.rounding)
