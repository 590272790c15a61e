"""Verified upper bounds of an encoder's Lipschitz constant, from its weights as shipped."""

from latentsmooth.lipschitz.bound import ModuleBound, chain_bound, lipschitz_bound, module_bounds
from latentsmooth.lipschitz.modes import evaluating
from latentsmooth.lipschitz.registry import register_rule, verified_types

__all__ = [
    "ModuleBound",
    "chain_bound",
    "evaluating",
    "lipschitz_bound",
    "module_bounds",
    "register_rule",
    "verified_types",
]
