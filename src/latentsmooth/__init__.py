"""latentsmooth: certified image classification by latent space randomized smoothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentsmooth.version import __version__

if TYPE_CHECKING:
    from latentsmooth.certification import Certificate, Prediction
    from latentsmooth.errors import LatentSmoothError
    from latentsmooth.images import ImageSet, load_images
    from latentsmooth.lipschitz import lipschitz_bound
    from latentsmooth.models import LatentSmoothedClassifier, build, list_builds
    from latentsmooth.records import read_log

__all__ = [
    "Certificate",
    "ImageSet",
    "LatentSmoothError",
    "LatentSmoothedClassifier",
    "Prediction",
    "__version__",
    "build",
    "lipschitz_bound",
    "list_builds",
    "load_images",
    "read_log",
]

_HOMES = {
    "Certificate": "certification",
    "ImageSet": "images",
    "LatentSmoothError": "errors",
    "LatentSmoothedClassifier": "models",
    "Prediction": "certification",
    "build": "models",
    "lipschitz_bound": "lipschitz",
    "list_builds": "models",
    "load_images": "images",
    "read_log": "records",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import latentsmooth`` is light."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
