"""Images brought to what a classifier takes: its channels, its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latentsmooth.errors import ShapeError
from latentsmooth.images.classes import UnknownClasses
from latentsmooth.images.image_set import ImageSet

__all__ = ["as_image_set", "fit_images"]


def as_image_set(images: Any) -> ImageSet:
    """A set of images as it is, or one of any data set, see `ImageSet.from_dataset`."""
    return images if isinstance(images, ImageSet) else ImageSet.from_dataset(images)


def fit_images(
    images: Any,
    *,
    image_shape: tuple[int, int, int],
    class_names: Sequence[str],
    unknown: UnknownClasses = "refuse",
) -> ImageSet:
    """The same images as a classifier takes them: gray or RGB, labels counted as its classes.

    Args:
        images: a set of images, or any data set that `ImageSet.from_dataset` takes.
        image_shape: (channels, height, width) that the classifier takes.
        class_names: the classifier's.
        unknown: whether images of classes that it does not know are refused, or unlabelled.

    Raises:
        ShapeError: another height or width.
        ConfigurationError: unknown classes, where refused, or none in common.
    """
    found = as_image_set(images)
    if found.image_shape[1:] != tuple(image_shape)[1:]:
        raise ShapeError(
            f"the classifier takes images of shape {tuple(image_shape)}, {found.source} has "
            f"{found.image_shape}; image_size resizes square images"
        )
    return found.with_channels(image_shape[0]).matched(class_names, unknown)
