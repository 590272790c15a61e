"""Labelled images in [0, 1]: named sets, folders, Parquet and the hub; augmentation."""

from latentsmooth.images.augmentation import random_crop_flip
from latentsmooth.images.image_set import ImageSet, LabelledImage
from latentsmooth.images.sources import list_sources, load_image_files, load_images

__all__ = [
    "ImageSet",
    "LabelledImage",
    "list_sources",
    "load_image_files",
    "load_images",
    "random_crop_flip",
]
