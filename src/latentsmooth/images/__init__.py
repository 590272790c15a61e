"""Labelled images in [0, 1]: named sets, folders, Parquet and the hub; augmentation."""

from latentsmooth.images.augmentation import random_crop_flip
from latentsmooth.images.classes import UnknownClasses
from latentsmooth.images.fitting import as_image_set, fit_images
from latentsmooth.images.image_set import ImageSet, LabelledImage
from latentsmooth.images.sources import list_sources, load_image_files, load_images

__all__ = [
    "ImageSet",
    "LabelledImage",
    "UnknownClasses",
    "as_image_set",
    "fit_images",
    "list_sources",
    "load_image_files",
    "load_images",
    "random_crop_flip",
]
