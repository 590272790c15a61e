"""The rules, one kind of module a file; importing them fills the registry."""

from latentsmooth.lipschitz.rules import (
    branches,
    chains,
    convolution,
    dense,
    elementwise,
    normalization,
    padding,
    reshaping,
    stated,
)

__all__ = [
    "branches",
    "chains",
    "convolution",
    "dense",
    "elementwise",
    "normalization",
    "padding",
    "reshaping",
    "stated",
]
