"""Images that a program hands over: tensors, files, data sets of PyTorch and Hugging Face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.images.content import image_fault
from latentsmooth.images.decoding import MAX_SIDE, Geometry, survey
from latentsmooth.images.hub import given_rows
from latentsmooth.images.memory import FloatRows, collect_items, label_array, tensor_rows
from latentsmooth.images.rows import FileRows, FoundImages, Rows, checked_labels

__all__ = ["Givable", "check_image_size"]

_Given = tuple[FoundImages, Geometry]


def check_image_size(image_size: int | None) -> None:
    """Raise :class:`ConfigurationError` unless a size to resize to is from 1 to `MAX_SIDE`."""
    if image_size is not None and not 1 <= image_size <= MAX_SIDE:
        raise ConfigurationError(f"image_size is {image_size}; expected from 1 to {MAX_SIDE}")


def _given_tensors(
    images: Tensor | NDArray[Any],
    labels: Any,
    class_names: Sequence[str] | None,
    *,
    source: str,
    split: str,
) -> _Given:
    """What `ImageSet.from_tensors` is made of."""
    known = label_array(labels, len(images), source=source)
    return _settled(
        tensor_rows(images, known, source=source), class_names, split=split, image_size=None
    )


def _given_files(
    paths: Sequence[str | Path],
    labels: Sequence[int | None] | None,
    class_names: Sequence[str] | None,
    *,
    image_size: int | None,
    source: str,
) -> _Given:
    """What `ImageSet.from_files` is made of."""
    files = [Path(path).expanduser() for path in paths]
    if not files:
        raise DataError("no image files were given; expected at least one")
    if labels is not None and len(labels) != len(files):
        raise ShapeError(f"{source}: {len(files)} files and {len(labels)} labels; expected as many")
    for file in files:
        if fault := image_fault(str(file)):
            raise DataError(f"{file}: {fault}; expected an image file")
    rows = FileRows(files, label_array(labels, len(files), source=source), root=None)
    return _settled(rows, class_names, split="all", image_size=image_size)


def _given_dataset(
    dataset: Any,
    class_names: Sequence[str] | None,
    *,
    image_size: int | None,
    source: str,
    split: str,
) -> _Given:
    """What `ImageSet.from_dataset` is made of."""
    if type(dataset).__module__.partition(".")[0] != "datasets":
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DataError(
                f"{source}: expected a data set with a length and items; got "
                f"{type(dataset).__name__}"
            )
        found = class_names if class_names is not None else classes_of(dataset, source=source)
        rows = collect_items(dataset, source=source)
        return _settled(rows, found, split=split, image_size=image_size)
    if not hasattr(dataset, "_fingerprint"):
        raise DataError(
            f"{source}: expected one split, a datasets.Dataset; got {type(dataset).__name__}"
        )
    table = given_rows(dataset, part=source)
    if class_names is None and table.names.kind in ("declared", "texts"):
        class_names = table.names.names
    notes = []
    if dataset.format["type"] == "custom":
        notes.append("the data set's own transform is not applied: images are read as stored")
    return _settled(table, class_names, split=split, image_size=image_size, notes=notes)


def classes_of(dataset: Any, *, source: str) -> Sequence[str] | None:
    """Class names that a data set has, or those inside it that it is a part of or made of.

    Raises:
        DataError: it is made of several whose classes differ, so that labels are no one class.
    """
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, (list, tuple)) and classes:
        return [str(each) for each in classes]
    order = getattr(dataset, "class_to_idx", None)
    if isinstance(order, dict) and sorted(order.values()) == list(range(len(order))) and order:
        return [str(name) for name in sorted(order, key=order.__getitem__)]
    parts = getattr(dataset, "datasets", None)
    if not isinstance(parts, (list, tuple)):
        inner = getattr(dataset, "dataset", None)
        return None if inner is None else classes_of(inner, source=source)
    found = [classes_of(part, source=source) for part in parts]
    if any(each != found[0] for each in found):
        raise DataError(
            f"{source}: data sets with different classes are put together, such as "
            f"{next(each for each in found if each != found[0])} and {found[0]}; expected the same"
        )
    return found[0] if found else None


def _settled(
    rows: Rows,
    class_names: Sequence[str] | None,
    *,
    split: str,
    image_size: int | None,
    notes: Sequence[str] = (),
) -> _Given:
    check_image_size(image_size)
    labels = rows.labels
    if class_names is None:
        names = tuple(map(str, range(int(np.max(labels, initial=-1)) + 1)))
    else:
        names = tuple(map(str, class_names))
        if len(set(names)) < len(names):
            raise ConfigurationError("two classes have the same name; expected different ones")
    checked_labels(labels, names, rows)
    if isinstance(rows, FloatRows):
        if image_size is not None:
            raise ConfigurationError("pixels of type float are not resized: resize them before")
        _, channels, height, width = rows.pixels.shape
        shape: tuple[int, int, int] = (channels, height, width)
    else:
        shape = survey(rows, image_size=image_size)
    found = FoundImages(rows, split, names, class_names is not None, tuple(notes))
    return found, Geometry(shape, resize=image_size is not None)


class Givable(ABC):
    """What makes a set of images of what a program has already: the constructors of `ImageSet`."""

    @classmethod
    @abstractmethod
    def from_found(cls, found: FoundImages, geometry: Geometry, *, source: str) -> Self:
        """A set of what reading a source gave; what the user should know of it is said."""

    @classmethod
    def from_tensors(
        cls,
        images: Tensor | NDArray[Any],
        labels: Tensor | NDArray[Any] | Sequence[int | None] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        source: str = "tensors",
        split: str = "all",
    ) -> Self:
        """A set of images in memory.

        Args:
            images: (images, 1 or 3, height, width) uint8, or floats in [0, 1], which are kept.
            labels: (images,) whole numbers; -1 or ``None`` where not known.
            class_names: by label; numerals where ``None``.
            source: what messages and logs call the set.
            split: the split that these are.

        Raises:
            ShapeError: another shape, or not one label an image.
            DataError: no images, another dtype, floats outside [0, 1], or a label out of range.
        """
        found = _given_tensors(images, labels, class_names, source=source, split=split)
        return cls.from_found(*found, source=source)

    @classmethod
    def from_files(
        cls,
        paths: Sequence[str | Path],
        labels: Sequence[int | None] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        image_size: int | None = None,
        source: str = "files",
    ) -> Self:
        """A set of image files.

        Args:
            paths: the files.
            labels: (files,) whole numbers; -1 or ``None`` where not known.
            class_names: by label; numerals where ``None``.
            image_size: height and width to resize to (shorter side, then the centre), in pixels.
            source: what messages and logs call the set.

        Raises:
            ShapeError: not one label a file.
            DataError: no files, one is missing or no image, sizes differ while ``image_size`` is
                ``None``, or a label is out of range.
        """
        found = _given_files(paths, labels, class_names, image_size=image_size, source=source)
        return cls.from_found(*found, source=source)

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        class_names: Sequence[str] | None = None,
        image_size: int | None = None,
        source: str | None = None,
        split: str = "all",
    ) -> Self:
        """A set of a PyTorch data set's items, or of a Hugging Face ``datasets.Dataset``.

        A PyTorch data set is anything with a length whose items are images, or pairs of an image
        and its label; all are read now and kept in memory. An image is a PIL image, an array, or a
        tensor (channels, height, width); arrays and tensors are uint8, or floats in [0, 1].

        Args:
            dataset: the data set; ``classes`` that it has are its class names.
            class_names: by label, in place of the data set's own.
            image_size: height and width to resize to, in pixels; not for floats.
            source: what messages and logs call the set; its class where ``None``.
            split: the split that these are.

        Raises:
            DataError: an item that cannot be used, or a label out of range.
            ShapeError: float images of several shapes.
        """
        name = source or f"dataset:{type(dataset).__name__}"
        found = _given_dataset(
            dataset, class_names, image_size=image_size, source=name, split=split
        )
        return cls.from_found(*found, source=name)
