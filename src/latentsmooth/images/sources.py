"""Where images come from: one string names a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.files import is_file, is_folder, user_path
from latentsmooth.images.decoding import MAX_SIDE, Geometry, survey
from latentsmooth.images.fashion import fashion_rows
from latentsmooth.images.folders import folder_images, tree_images
from latentsmooth.images.given import check_image_size
from latentsmooth.images.hub import hub_images, looks_like_hub_name
from latentsmooth.images.image_set import ImageSet, check_selection
from latentsmooth.images.listed import listed_images
from latentsmooth.images.rows import FileRows, FoundImages
from latentsmooth.images.selection import limit_note
from latentsmooth.images.table_sets import parquet_images
from latentsmooth.images.walk import LeftOut, printable, walk

__all__ = ["list_sources", "load_image_files", "load_images"]

MAX_CLASS_NAME = 1000
_EMBEDDED = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class _Source:
    usage: str
    sentence: str
    find: Callable[[str, str], FoundImages]
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
    """Labelled images of a named set, a folder, a table of files, Parquet files or the hub.

    The set is RGB when any of 64 evenly spread images is in colour, and has one channel only
    when every image is gray. A "test" split that does not exist falls back to "validation";
    ``ImageSet.split`` says which it is. Of ``imagenet``, "test" is the validation split wherever
    there is one, since the test labels are withheld. What a result may depend on and no error
    stops (files left out, sets without splits) is logged as a warning and kept in
    ``ImageSet.notes``.

    Args:
        source: one of the forms that :func:`list_sources` lists, or the path of a folder, of a
            Parquet file or of a table (``.csv``, ``.tsv``, ``.jsonl``).
        split: "train", "test" or "validation", in any usual spelling; on the hub any split of the
            data set.
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
    check_image_size(image_size)
    kind, argument = _parsed(source)
    found = kind.find(argument, split)
    _check_names(found.class_names, source)
    size = image_size or kind.image_size
    geometry = Geometry(
        survey(found.rows, image_size=size), resize=size is not None, zoom=kind.zoom
    )
    whole = ImageSet.from_found(found, geometry, source=source)
    chosen = whole.subset(limit=limit, stride=stride)
    return chosen.noting(limit_note(whole, chosen))


def _parsed(source: str) -> tuple[_Source, str]:
    """The kind of a source, and what stands behind its name, the home folder written out."""
    name, _, argument = source.partition(":")
    kind = _SOURCES.get(name)
    if kind is None:
        place = str(user_path(source))
        if is_folder(place) or is_file(place):
            return _PATH, place
        if source[:1] in ("/", ".", "~"):
            raise DataError(f"no such file or folder: {source}")
        usages = ", ".join(known.usage for known in _SOURCES.values())
        hint = f"; there is no such file or folder, and on the hub it is hub:{source}"
        raise ConfigurationError(
            f"unknown source {source!r}; expected one of {usages}, or a path"
            + (hint if looks_like_hub_name(source) else "")
        )
    if kind.argument == "required" and not argument:
        raise ConfigurationError(f"source {source!r} names no place; expected {kind.usage}")
    if kind.argument == "none" and argument:
        raise ConfigurationError(f"source {source!r}: expected plain {kind.usage}")
    return kind, argument


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
    files = [user_path(path) for path in paths]
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
    ['cifar10[:FOLDER|HUB_NAME]', 'csv:FILE[,FILE...]']
    """
    return {source.usage: source.sentence for source in _SOURCES.values()}


def _mini(_: str, split: str) -> FoundImages:
    return parquet_images(sorted(_EMBEDDED.glob("*.parquet")), split)


def _fashion(argument: str, split: str) -> FoundImages:
    return fashion_rows(str(user_path(argument)) if argument else None, split)


def _paths(argument: str) -> list[Path]:
    return [user_path(part) for part in argument.split(",") if part]


def _parquet(argument: str, split: str) -> FoundImages:
    return parquet_images(_paths(argument), split)


def _csv(argument: str, split: str) -> FoundImages:
    return listed_images(_paths(argument), split)


def _folder(argument: str, split: str) -> FoundImages:
    return folder_images(user_path(argument), split)


def _place(argument: str, split: str) -> FoundImages:
    """A path of any kind."""
    place = Path(argument)
    if is_folder(place):
        return _any_folder(place, split)
    suffix = place.suffix.lower()
    if suffix in (".csv", ".tsv", ".jsonl", ".ndjson"):
        return listed_images([place], split)
    if suffix in (".parquet", ".pq"):
        return parquet_images([place], split)
    raise DataError(
        f"{place} is no data set; expected a folder, a Parquet file, or a table of paths and "
        "labels (.csv, .tsv, .jsonl)"
    )


def _any_folder(place: Path, split: str) -> FoundImages:
    """A folder of Parquet files or one of images."""
    left_out = LeftOut()
    tree = walk(place, left_out)
    tables = sorted(
        Path(folder.join(name))
        for folder, name in tree.all_files()
        if name.lower().endswith((".parquet", ".pq")) and name != "metadata.parquet"
    )
    if not tables:
        return tree_images(tree, split, left_out)
    if tree.holds_images:
        raise DataError(
            f"{printable(str(place))} holds image files and Parquet files such as "
            f"{printable(tables[0].name)}; expected one kind, so name them: imagefolder:{place} or "
            "parquet:FILE,FILE"
        )
    return parquet_images(tables, split, root=place, notes=left_out.notes())


def _local_or_hub(default: str) -> Callable[[str, str], FoundImages]:
    def find(argument: str, split: str) -> FoundImages:
        place = user_path(argument or default)
        if is_file(place):
            return parquet_images([place], split)
        if argument and is_folder(place):
            return _any_folder(place, split)
        if not looks_like_hub_name(argument or default):
            raise DataError(
                f"no such folder: {place}; expected a folder of Parquet files or class folders, or "
                f"a name on the hub such as {default}"
            )
        return hub_images(argument or default, split)

    return find


_find_imagenet = _local_or_hub("ILSVRC/imagenet-1k")


def _imagenet(argument: str, split: str) -> FoundImages:
    """ImageNet withholds its test labels, so "test" is validation where there is one."""
    if split == "test":
        with suppress(ConfigurationError):
            return _find_imagenet(argument, "validation")
    return _find_imagenet(argument, split)


_PATH = _Source("PATH", "a folder, a Parquet file or a table of paths and labels", _place)

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
    "imagefolder": _Source(
        "imagefolder:DIR",
        "a folder of images for each class, under train, test, ... folders or without them",
        _folder,
        argument="required",
    ),
    "csv": _Source(
        "csv:FILE[,FILE...]",
        "tables (CSV, TSV, JSON Lines) of image paths and labels; a split column or file names "
        "choose the split",
        _csv,
        argument="required",
    ),
    "parquet": _Source(
        "parquet:FILE[,FILE...]",
        "Parquet files with an image and a label column; names of files or folders choose the "
        "split",
        _parquet,
        argument="required",
    ),
    "hub": _Source(
        "hub:NAME[:CONFIG]",
        "a data set on the Hugging Face hub with an image and a label column",
        hub_images,
        argument="required",
    ),
}
