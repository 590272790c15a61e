"""Where images come from: one string names a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.files import is_file, is_folder
from latentsmooth.images.decoding import MAX_SIDE, Geometry, survey
from latentsmooth.images.fashion import fashion_rows
from latentsmooth.images.folders import folder_rows
from latentsmooth.images.hub import hub_rows, looks_like_hub_name
from latentsmooth.images.image_set import ImageSet, check_selection
from latentsmooth.images.parquet import parquet_rows
from latentsmooth.images.rows import FileRows, Rows
from latentsmooth.images.splits import choose_files

__all__ = ["list_sources", "load_image_files", "load_images"]

MAX_CLASS_NAME = 1000
_EMBEDDED = Path(__file__).parent / "data"
_Found = tuple[Rows, str, tuple[str, ...]]
"""Rows, the split they are from, class names."""


@dataclass(frozen=True, slots=True)
class _Source:
    usage: str
    sentence: str
    find: Callable[[str, str], _Found]
    argument: str = "none"
    image_size: int | None = None
    zoom: float = 1.0


def load_images(
    source: str,
    *,
    split: str = "test",
    limit: int | None = None,
    stride: int = 1,
    image_size: int | None = None,
) -> ImageSet:
    """Labelled images of a named set, a folder, Parquet files or a data set on the hub.

    The set is RGB when any of 64 evenly spread images is in colour, and has one channel only
    when every image is gray. A "test" split that does not exist falls back to "validation";
    ``ImageSet.split`` says which it is. Of ``imagenet``, "test" is the validation split wherever
    there is one, since the test labels are withheld.

    Args:
        source: one of the forms that :func:`list_sources` lists.
        split: "train", "test" or "validation" ("val"); on the hub any split of the data set.
        limit: how many images to keep, after ``stride``.
        stride: keep every ``stride``-th image.
        image_size: height and width to resize to (shorter side, then the centre), in pixels;
            ``imagenet`` resizes to 224, cut from a shorter side of 256, when ``None``.

    Raises:
        ConfigurationError: unknown source or split, or a limit, stride or size below 1.
        DataError: missing, empty, damaged, of mixed sizes, or a label out of range.

    >>> load_images("fashion-mini", limit=3)
    ImageSet('fashion-mini', split='test', 3 images of 1x28x28, 10 classes)
    """
    check_selection(limit=limit, stride=stride)
    if image_size is not None and not 1 <= image_size <= MAX_SIDE:
        raise ConfigurationError(f"image_size is {image_size}; expected from 1 to {MAX_SIDE}")
    name, _, argument = source.partition(":")
    kind = _SOURCES.get(name)
    if kind is None:
        usages = ", ".join(known.usage for known in _SOURCES.values())
        raise ConfigurationError(f"unknown source {source!r}; expected one of {usages}")
    if kind.argument == "required" and not argument:
        raise ConfigurationError(f"source {source!r} names no place; expected {kind.usage}")
    if kind.argument == "none" and argument:
        raise ConfigurationError(f"source {source!r}: expected plain {kind.usage}")
    rows, found_split, class_names = kind.find(argument, split)
    _check_names(class_names, source)
    size = image_size or kind.image_size
    geometry = Geometry(survey(rows, image_size=size), resize=size is not None, zoom=kind.zoom)
    images = ImageSet(
        rows, source=source, split=found_split, class_names=class_names, geometry=geometry
    )
    return images.subset(limit=limit, stride=stride)


def _check_names(class_names: Sequence[str], source: str) -> None:
    """Refuse before training what no saved classifier could hold after it."""
    for name in class_names:
        if len(name) > MAX_CLASS_NAME:
            raise DataError(
                f"{source}: a class name of {len(name):,} characters; at most {MAX_CLASS_NAME:,} "
                f"are read: {name[:80]}…"
            )
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"{source}: class name {name!r} is not Unicode")


def load_image_files(paths: Sequence[str | Path], *, image_shape: tuple[int, int, int]) -> ImageSet:
    """Unlabelled image files, brought to one shape.

    Each is converted to gray or RGB, resized until it just covers height and width, and cut to its
    centre.

    Args:
        paths: image files.
        image_shape: (channels, height, width); channels is 1 or 3.

    Raises:
        ConfigurationError: an impossible shape.
        DataError: no files, or one that does not exist.
    """
    if len(image_shape) != 3 or image_shape[0] not in (1, 3) or min(image_shape) < 1:
        raise ConfigurationError(
            f"image_shape is {image_shape}; expected (1 or 3 channels, height, width)"
        )
    if max(image_shape) > MAX_SIDE:
        raise ConfigurationError(f"image_shape is {image_shape}; expected sides up to {MAX_SIDE}")
    files = [Path(path) for path in paths]
    if not files:
        raise DataError("no image files were given; expected at least one")
    for file in files:
        if not is_file(file):
            raise DataError(f"no such image file: {file}")
    rows = FileRows(files, np.full(len(files), -1, dtype=np.int64), root=None)
    geometry = Geometry(image_shape, resize=True)
    return ImageSet(rows, source="files", split="all", class_names=(), geometry=geometry)


def list_sources() -> dict[str, str]:
    """How each source is written, and a sentence on it.

    >>> sorted(list_sources())[:2]
    ['cifar10[:FOLDER|HUB_NAME]', 'fashion-mini']
    """
    return {source.usage: source.sentence for source in _SOURCES.values()}


def _mini(_: str, split: str) -> _Found:
    return _parquet_files(sorted(_EMBEDDED.glob("*.parquet")), split)


def _fashion(argument: str, split: str) -> _Found:
    return fashion_rows(argument or None, split)


def _parquet(argument: str, split: str) -> _Found:
    return _parquet_files([Path(part) for part in argument.split(",") if part], split)


def _parquet_files(paths: Sequence[Path], split: str) -> _Found:
    chosen, found = choose_files(paths, split)
    rows = parquet_rows(chosen)
    return rows, found, rows.class_names


def _folder(argument: str, split: str) -> _Found:
    return folder_rows(Path(argument), split)


def _hub(argument: str, split: str) -> _Found:
    return hub_rows(argument, split)


def _local_or_hub(default: str) -> Callable[[str, str], _Found]:
    def find(argument: str, split: str) -> _Found:
        place = Path(argument or default)
        if is_file(place):
            return _parquet_files([place], split)
        if argument and is_folder(place):
            files = sorted(place.rglob("*.parquet"))
            return _parquet_files(files, split) if files else folder_rows(place, split)
        if not looks_like_hub_name(argument or default):
            raise DataError(
                f"no such folder: {place}; expected a folder of Parquet files or class folders, or "
                f"a name on the hub such as {default}"
            )
        return hub_rows(argument or default, split)

    return find


_find_imagenet = _local_or_hub("ILSVRC/imagenet-1k")


def _imagenet(argument: str, split: str) -> _Found:
    """ImageNet withholds its test labels, so "test" is validation where there is one."""
    if split == "test":
        with suppress(ConfigurationError):
            return _find_imagenet(argument, "validation")
    return _find_imagenet(argument, split)


_SOURCES: dict[str, _Source] = {
    "fashion-mini": _Source(
        "fashion-mini",
        "5,000 + 1,000 gray 28x28 images of Fashion-MNIST, inside the package (default)",
        _mini,
    ),
    "fashion-mnist": _Source(
        "fashion-mnist[:FOLDER]",
        "60,000 + 10,000 gray 28x28 images: the four IDX files, as Debian installs them or in "
        "FOLDER",
        _fashion,
        argument="optional",
    ),
    "cifar10": _Source(
        "cifar10[:FOLDER|HUB_NAME]",
        "50,000 + 10,000 colour 32x32 images: uoft-cs/cifar10 on the hub, or a local copy",
        _local_or_hub("uoft-cs/cifar10"),
        argument="optional",
    ),
    "imagenet": _Source(
        "imagenet[:FOLDER|HUB_NAME]",
        "1.28 million + 50,000 colour images at 224x224: ILSVRC/imagenet-1k on the hub, or a local "
        "copy",
        _imagenet,
        argument="optional",
        image_size=224,
        zoom=256 / 224,
    ),
    "parquet": _Source(
        "parquet:FILE[,FILE...]",
        "Parquet files with an image and a label column; file names choose the split",
        _parquet,
        argument="required",
    ),
    "imagefolder": _Source(
        "imagefolder:DIR",
        "a folder of images for each class, under train, test, ... folders or without them",
        _folder,
        argument="required",
    ),
    "hub": _Source(
        "hub:NAME[:CONFIG]",
        "a data set on the Hugging Face hub with an image and a label column",
        _hub,
        argument="required",
    ),
}
