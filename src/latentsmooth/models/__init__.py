"""Classifiers made of an encoder and a head: named builds, saving and loading."""

from latentsmooth.models.builds import build, describe_builds, list_builds
from latentsmooth.models.classifier import LatentSmoothedClassifier
from latentsmooth.models.packaged_names import list_packaged

__all__ = [
    "LatentSmoothedClassifier",
    "build",
    "describe_builds",
    "list_builds",
    "list_packaged",
]
