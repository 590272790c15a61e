"""Labelled images as the rest of the package sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.images.classes import UnknownClasses, match_classes
from latentsmooth.images.decoding import Geometry, decode_rows
from latentsmooth.images.given import Givable
from latentsmooth.images.memory import FloatRows
from latentsmooth.images.rows import FoundImages, Rows
from latentsmooth.images.saying import say

__all__ = ["ImageSet", "LabelledImage"]

CACHE_BYTES = 2 * 2**30


def check_selection(*, limit: int | None, stride: int) -> None:
    """Raise :class:`ConfigurationError` where limit or stride is below 1."""
    if stride < 1:
        raise ConfigurationError(f"stride is {stride}; expected at least 1")
    if limit is not None and limit < 1:
        raise ConfigurationError(f"limit is {limit}; expected at least 1")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a set.

    Attributes:
        image: (channels, height, width) float32, pixels in [0, 1].
        label: index into the set's class names, or ``None`` where it is not known.
        index: position in the full split.
        name: what messages call it: its file, or its row in a file.
        record_name: the same without the folders above the data set, for logs that travel.
    """

    image: Tensor
    label: int | None
    index: int
    name: str
    record_name: str = ""


class ImageSet(Givable):
    """Images of one shape with labels, in a fixed order.

    Pixels are decoded when first needed. A set of at most 2 GiB as uint8 is then kept decoded, so
    that every later batch is a gather; a larger one is decoded batch by batch.

    Args:
        rows: the full split of the source.
        source: the source as the user wrote it.
        split: the split that the images are from.
        class_names: names of the classes, by label.
        geometry: how images are brought to one shape.
        indices: positions in the full split; all where ``None``.
        named: whether class names were given, rather than made from labels that are numbers.
        labels: (rows,) int64, in place of the rows' own.
        left_out: names of what was left out, by the reason.
        notes: what a reader of the results should know of how the set was read.
        limit: how many images were asked for, all where ``None``.
        stride: of which every ``stride``-th was taken first.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        source: str,
        split: str,
        class_names: Sequence[str],
        geometry: Geometry,
        indices: NDArray[np.int64] | None = None,
        named: bool = True,
        labels: NDArray[np.int64] | None = None,
        left_out: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        notes: Sequence[str] = (),
        limit: int | None = None,
        stride: int = 1,
    ) -> None:
        self.source = source
        self.split = split
        self.class_names = tuple(class_names)
        self.image_shape = geometry.image_shape
        self.named = named
        self.left_out = dict(left_out)
        self.notes = tuple(notes)
        self.limit, self.stride = limit, stride
        self._rows = rows
        self._geometry = geometry
        self._labels = rows.labels if labels is None else labels
        self._indices = np.arange(len(rows), dtype=np.int64) if indices is None else indices
        self._pixels: Tensor | None = None
        self._fingerprint: str | None = None

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return (
            f"ImageSet({self.source!r}, split={self.split!r}, {len(self)} images of {shape}, "
            f"{len(self.class_names)} classes)"
        )

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self[position] for position in range(len(self)))

    def __getitem__(self, position: int) -> LabelledImage:
        place = range(len(self))[position]
        index = int(self._indices[place])
        label = int(self._labels[index])
        if self._pixels is None:
            pixels = self._decode(self._indices[place : place + 1])[0]
        else:
            pixels = self._pixels[place]
        return LabelledImage(
            image=_in_unit_range(pixels),
            label=None if label < 0 else label,
            index=index,
            name=self._rows.name(index),
            record_name=self._rows.record_name(index),
        )

    @property
    def indices(self) -> tuple[int, ...]:
        """Position of each image in the full split."""
        return tuple(self._indices.tolist())

    @property
    def selection(self) -> dict[str, int]:
        """Which images of the split these are: its size, limit (0: none) and stride."""
        return {"of": len(self._rows), "limit": self.limit or 0, "stride": self.stride}

    @property
    def labels(self) -> Tensor:
        """(images,) int64, -1 where the label is not known."""
        return torch.from_numpy(self._labels[self._indices])

    @property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, over the full split's content and any resizing; read once.

        Limit and stride do not change it. Of a single Parquet file without resizing it is the
        file's own sha256.
        """
        if self._fingerprint is None:
            content = self._rows.fingerprint()
            if self._geometry.changes_pixels:
                settled = f"{content} {self._geometry.describe()}"
                content = hashlib.sha256(settled.encode()).hexdigest()
            self._fingerprint = content
        return self._fingerprint

    def batch(self, positions: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and indices at the given positions.

        Args:
            positions: (b,) integers in [0, len(self)).

        Returns:
            images: (b, channels, height, width) float32 in [0, 1];
            labels: (b,) int64, -1 where not known;
            indices: (b,) int64, positions in the full split.

        Raises:
            IndexError: a position is out of range.
            DataError: an image cannot be decoded.
        """
        places = torch.as_tensor(positions, device="cpu").to(torch.int64).reshape(-1)
        wrong = places[(places < 0) | (places >= len(self))]
        if wrong.numel():
            raise IndexError(f"position {int(wrong[0])}; expected 0 to {len(self) - 1}")
        which = self._indices[places.numpy()]
        if self._pixels is None and self._fits():
            self._pixels = self._decode(self._indices)
        pixels = self._decode(which) if self._pixels is None else self._pixels[places]
        return (
            _in_unit_range(pixels),
            torch.from_numpy(self._labels[which]),
            torch.from_numpy(which),
        )

    def subset(self, *, limit: int | None = None, stride: int = 1) -> ImageSet:
        """Every ``stride``-th image, then the first ``limit`` of those; indices are kept.

        Raises:
            ConfigurationError: ``limit`` or ``stride`` is below 1.
        """
        check_selection(limit=limit, stride=stride)
        chosen = slice(None, None if limit is None else limit * stride, stride)
        return self._part(
            indices=self._indices[chosen],
            pixels=None if self._pixels is None else self._pixels[chosen],
            limit=limit,
            stride=self.stride * stride,
        )

    def matched(self, class_names: Sequence[str], unknown: UnknownClasses = "refuse") -> ImageSet:
        """The same images, with labels counted as a classifier with these class names counts them.

        See `classes.match_classes`; what the user should know of it is said and noted.

        Raises:
            ConfigurationError: images of a class that the classifier does not know, where these
                are refused; or no class in common.
        """
        mapping = match_classes(
            self.class_names,
            class_names,
            named=self.named,
            present=self._labels[self._indices],
            source=self.source,
            unknown=unknown,
        )
        if self.class_names == tuple(class_names) or not self.class_names:
            return self
        say(self.source, mapping.notes)
        return self._part(
            pixels=self._pixels,
            labels=mapping.apply(self._labels),
            class_names=class_names,
            named=True,
            notes=(*self.notes, *mapping.notes),
        )

    def noting(self, note: str | None) -> ImageSet:
        """The same set with one more note, which is said; itself where there is none."""
        if note is None:
            return self
        say(self.source, [note])
        return self._part(pixels=self._pixels, notes=(*self.notes, note))

    def with_channels(self, channels: int) -> ImageSet:
        """The same images as gray (1) or RGB (3), converted as single files are; said, and noted.

        Raises:
            ShapeError: another number of channels.
        """
        if channels not in (1, 3):
            raise ShapeError(f"channels is {channels}; expected 1 or 3")
        if channels == self.image_shape[0]:
            return self
        note = "colours become gray" if channels == 1 else "gray images become RGB"
        note += ", as the classifier takes them; certificates are about the converted images"
        say(self.source, [note])
        return self._part(
            geometry=replace(
                self._geometry, image_shape=(channels, *self.image_shape[1:]), converted=True
            ),
            pixels=None,
            notes=(*self.notes, note),
        )

    @classmethod
    def from_found(cls, found: FoundImages, geometry: Geometry, *, source: str) -> Self:
        """A set of what reading a source gave; what the user should know of it is said."""
        say(source, found.notes)
        return cls(
            found.rows,
            source=source,
            split=found.split,
            class_names=found.class_names,
            geometry=geometry,
            named=found.named,
            left_out=found.left_out,
            notes=found.notes,
        )

    def _part(self, *, pixels: Tensor | None, **changes: Any) -> ImageSet:
        """The same set, but for some of its arguments."""
        settings: dict[str, Any] = {
            "source": self.source,
            "split": self.split,
            "class_names": self.class_names,
            "geometry": self._geometry,
            "indices": self._indices,
            "named": self.named,
            "labels": self._labels,
            "left_out": self.left_out,
            "notes": self.notes,
            "limit": self.limit,
            "stride": self.stride,
        }
        part = ImageSet(self._rows, **{**settings, **changes})
        if part._geometry is self._geometry:
            part._fingerprint = self._fingerprint
        part._pixels = pixels
        return part

    def _fits(self) -> bool:
        return len(self) * int(np.prod(self.image_shape)) <= CACHE_BYTES

    def _decode(self, which: NDArray[np.int64]) -> Tensor:
        if isinstance(self._rows, FloatRows):
            return self._rows.batch(which, self.image_shape[0])
        return torch.from_numpy(decode_rows(self._rows, which, self._geometry))


def _in_unit_range(pixels: Tensor) -> Tensor:
    """Bytes as floats in [0, 1]; floats as they are, copied."""
    if pixels.dtype == torch.uint8:
        return pixels.to(torch.float32).div_(255)
    return pixels.clone()
