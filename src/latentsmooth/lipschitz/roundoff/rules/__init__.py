"""The rounding rules, one kind of module a file; importing them fills the table."""

from latentsmooth.lipschitz.roundoff.rules import (
    branches,
    curved,
    dense,
    elementwise,
    rearranging,
    stated,
    windows,
)

__all__ = ["branches", "curved", "dense", "elementwise", "rearranging", "stated", "windows"]
