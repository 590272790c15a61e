"""A folder of images for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latentsmooth.errors import DataError
from latentsmooth.files import is_folder
from latentsmooth.images.rows import FileRows
from latentsmooth.images.splits import SPLITS, UNDIVIDED, canonical, check_split, choose_split

__all__ = ["folder_rows"]

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)


def folder_rows(folder: Path, split: str) -> tuple[FileRows, str, tuple[str, ...]]:
    """Rows, split and class names of an image folder.

    ``folder/train/cat/….jpg``: sub-folders named after splits hold the classes' folders.
    ``folder/cat/….jpg``: without them the whole folder answers to any split, called "all".
    ``folder/….jpg``: where a split has no class folders its images are unlabelled.
    Class names are the sorted names of the class folders of all splits; images may lie deeper
    within them.

    Raises:
        ConfigurationError: unknown split.
        DataError: no such folder, no images, or images beside class folders.
    """
    if not is_folder(folder):
        raise DataError(f"no such folder: {folder}; expected one with a folder of images a class")
    split_folders = _split_folders(folder)
    if split_folders:
        chosen = choose_split(split, tuple(split_folders), where=str(folder))
        found, place = canonical(chosen), split_folders[chosen]
    else:
        check_split(split)
        found, place = UNDIVIDED, folder
    labelled = [_subfolders(part) for part in (split_folders or {"": folder}).values()]
    class_names = tuple(sorted({part.name for parts in labelled for part in parts}))
    stray = _images(place, deep=False)
    if not _subfolders(place):
        paths, labels = stray, [-1] * len(stray)
    elif stray:
        raise DataError(
            f"{stray[0]} lies beside the class folders of {place}; expected every image inside one"
        )
    else:
        paths, labels = _labelled(place, class_names)
    if not paths:
        raise DataError(
            f"no images in {place}; expected files ending in {', '.join(SUFFIXES)}, in one folder "
            "a class"
        )
    return FileRows(paths, np.array(labels, dtype=np.int64), root=place), found, class_names


def _labelled(place: Path, class_names: Sequence[str]) -> tuple[list[Path], list[int]]:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        images = _images(place / name, deep=True)
        paths += images
        labels += [label] * len(images)
    return paths, labels


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _split_folders(folder: Path) -> dict[str, Path]:
    """Sub-folders that are splits, not classes that happen to be called "train" or "test"."""
    subfolders = _subfolders(folder)
    named = {path.name: path for path in subfolders if canonical(path.name) in SPLITS}
    if len(named) == len(subfolders) or all(_subfolders(path) for path in named.values()):
        return named
    return {}


def _images(folder: Path, *, deep: bool) -> list[Path]:
    if not is_folder(folder):
        return []
    return sorted(
        path
        for path in (folder.rglob("*") if deep else folder.iterdir())
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
