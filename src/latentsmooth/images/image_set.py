"""Labelled images as the rest of the package sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentsmooth.errors import ConfigurationError
from latentsmooth.images.decoding import Geometry, decode_rows
from latentsmooth.images.rows import Rows

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


class ImageSet:
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
        notes: what a reader of the results should know of how the set was read.
        limit: how many images were asked for, all where ``None``.
        stride: every how many-th image was taken.
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
        notes: Sequence[str] = (),
        limit: int | None = None,
        stride: int = 1,
    ) -> None:
        self.source = source
        self.split = split
        self.class_names = tuple(class_names)
        self.image_shape = geometry.image_shape
        self.notes = tuple(notes)
        self.limit, self.stride = limit, stride
        self._rows = rows
        self._geometry = geometry
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
        label = int(self._rows.labels[index])
        if self._pixels is None:
            pixels = self._decode(self._indices[place : place + 1])[0]
        else:
            pixels = self._pixels[place]
        return LabelledImage(
            image=pixels.to(torch.float32) / 255,
            label=None if label < 0 else label,
            index=index,
            name=self._rows.name(index),
            record_name=self._rows.name(index),
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
        return torch.from_numpy(self._rows.labels[self._indices])

    @property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, over the full split's content and any resizing; read once.

        Limit and stride do not change it. Of a single Parquet file without resizing it is the
        file's own sha256.
        """
        if self._fingerprint is None:
            content = self._rows.fingerprint()
            if self._geometry.resize:
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
        images = pixels.to(torch.float32).div_(255)
        return images, torch.from_numpy(self._rows.labels[which]), torch.from_numpy(which)

    def subset(self, *, limit: int | None = None, stride: int = 1) -> ImageSet:
        """Every ``stride``-th image, then the first ``limit`` of those; indices are kept.

        Raises:
            ConfigurationError: ``limit`` or ``stride`` is below 1.
        """
        check_selection(limit=limit, stride=stride)
        part = ImageSet(
            self._rows,
            source=self.source,
            split=self.split,
            class_names=self.class_names,
            geometry=self._geometry,
            indices=self._indices[::stride][:limit],
            notes=self.notes,
            limit=limit,
            stride=self.stride * stride,
        )
        part._fingerprint = self._fingerprint
        if self._pixels is not None:
            part._pixels = self._pixels[::stride][:limit]
        return part

    def _fits(self) -> bool:
        return len(self) * int(np.prod(self.image_shape)) <= CACHE_BYTES

    def _decode(self, which: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(decode_rows(self._rows, which, self._geometry))
