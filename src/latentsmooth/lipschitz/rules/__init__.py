"""The rules, one kind of module a file; importing them fills the registry."""

from latentsmooth.lipschitz.rules import convolution, dense, elementwise, reshaping

__all__ = ["convolution", "dense", "elementwise", "reshaping"]
