"""latentsmooth: certified image classification by latent space randomized smoothing."""

from latentsmooth.version import __version__

__all__ = ["__version__"]
