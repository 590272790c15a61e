"""The named builds by family; each file has a table of its own."""

from latentsmooth.models.families import orthogonal, reference, rivals
from latentsmooth.models.registry import BuildEntry

__all__ = ["BUILDS"]

BUILDS: dict[str, BuildEntry] = {**reference.BUILDS, **orthogonal.BUILDS, **rivals.BUILDS}
