"""The named builds by family; each file has a table of its own."""

from latentsmooth.models.families import compact, heads, imagenet, orthogonal, reference, rivals
from latentsmooth.models.registry import BuildEntry

__all__ = ["BUILDS"]

BUILDS: dict[str, BuildEntry] = {
    **compact.BUILDS,
    **reference.BUILDS,
    **orthogonal.BUILDS,
    **heads.BUILDS,
    **imagenet.BUILDS,
    **rivals.BUILDS,
}
