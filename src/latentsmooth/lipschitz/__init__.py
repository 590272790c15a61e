"""Verified upper bounds of an encoder's Lipschitz constant, from its weights as shipped."""

from latentsmooth.lipschitz.audit import AuditRow, audit
from latentsmooth.lipschitz.baking import bake
from latentsmooth.lipschitz.bound import ModuleBound, chain_bound, lipschitz_bound, module_bounds
from latentsmooth.lipschitz.declared import DeclaredLipschitz, declare_lipschitz
from latentsmooth.lipschitz.modes import evaluating, ordinary_kernels
from latentsmooth.lipschitz.power import lipschitz_lower_bound
from latentsmooth.lipschitz.registry import (
    BoundOf,
    register_composite_rule,
    register_rule,
    verified_types,
)
from latentsmooth.lipschitz.roundoff import (
    RoundingBound,
    Step,
    register_rounding_rule,
    rounding_bound,
)

__all__ = [
    "AuditRow",
    "BoundOf",
    "DeclaredLipschitz",
    "ModuleBound",
    "RoundingBound",
    "Step",
    "audit",
    "bake",
    "chain_bound",
    "declare_lipschitz",
    "evaluating",
    "lipschitz_bound",
    "lipschitz_lower_bound",
    "module_bounds",
    "ordinary_kernels",
    "register_composite_rule",
    "register_rounding_rule",
    "register_rule",
    "rounding_bound",
    "verified_types",
]
