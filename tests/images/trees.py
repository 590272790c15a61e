"""Small trees of image files that the tests of layouts share."""

from __future__ import annotations

from pathlib import Path

from latentsmooth.errors import LatentSmoothError
from latentsmooth.images import ImageSet, load_images
from tests.images.samples import png

MAC = b"\0\5\x16\7\0\2\0\0Mac OS X"
"""How the files that a Mac's archiver leaves begin."""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def grow(root: Path, *names: str, **contents: bytes | str) -> Path:
    """Write an image for each name; one that ends in a slash is a folder without anything."""
    for seed, name in enumerate(names):
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed=seed))
    return root


def other(root: Path, contents: dict[str, bytes | str]) -> Path:
    """Write files that are no images."""
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def read(root: Path, split: str) -> ImageSet | str:
    """A split of a folder, or the error's text."""
    try:
        return load_images(f"imagefolder:{root}", split=split)
    except LatentSmoothError as error:
        return str(error)


def told(images: ImageSet | str, root: Path) -> dict[str, str | None] | str:
    """Class name by file; the error's text where there was one."""
    if isinstance(images, str):
        return images
    labels = images.labels.tolist()
    names = [Path(images[place].name).relative_to(root).as_posix() for place in range(len(images))]
    classes = [None if label < 0 else images.class_names[label] for label in labels]
    return dict(zip(names, classes, strict=True))
