"""Folders of images that tests of this folder make, and what reading one gave."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from latentsmooth.images import ImageSet, load_images
from tests.images.samples import png

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
PETS = ("cat/1.png", "dog/2.png")


def pets(*folders: str) -> list[str]:
    """Two images of two classes below each folder."""
    return [f"{folder}/{name}" for folder in folders for name in PETS]


def build(root: Path, files: Iterable[str], links: Iterable[tuple[str, str]] = ()) -> Path:
    """A file for each path: an image, or the text after ``|``; a folder where it ends in ``/``."""
    for seed, entry in enumerate(files):
        name, bar, text = entry.partition("|")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif bar:
            path.write_text(text, "utf-8")
        else:
            path.write_bytes(png(seed=seed))
    for name, target in links:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    return root


def read(source: str, root: Path, split: str) -> tuple[ImageSet, dict[str, str | None]]:
    """The set, and the class of each image by its path below a folder."""
    images = load_images(source, split=split)
    return images, {
        os.path.relpath(item.name, root): None
        if item.label is None
        else images.class_names[item.label]
        for item in images
    }


def by_folder(*names: str) -> dict[str, str | None]:
    """Images with the class that the last folder is called after."""
    return {name: name.split("/")[-2] for name in names}
