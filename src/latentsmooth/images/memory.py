"""Rows that are in memory already: tensors, arrays, PIL images, items of any data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from latentsmooth.errors import DataError, ShapeError
from latentsmooth.images.decoding import GRAY_MODES, convert_mode
from latentsmooth.images.rows import Payload

__all__ = ["FloatRows", "PixelRows", "collect_items", "label_array", "tensor_rows"]

_GRAY_WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R 601-2, as PIL turns colours to gray."""


class PixelRows:
    """Rows that are uint8 pixels of any size.

    Args:
        pixels: each (height, width) or (height, width, 3) uint8.
        labels: (rows,) int64, -1 where not known.
        source: what messages call the set.
    """

    def __init__(
        self, pixels: Sequence[NDArray[np.uint8]], labels: NDArray[np.int64], *, source: str
    ) -> None:
        self._pixels = pixels
        self.labels = labels
        self._source = source

    def __len__(self) -> int:
        return len(self._pixels)

    def name(self, row: int) -> str:
        """Place in the set."""
        return f"{self._source} item {row}"

    def record_name(self, row: int) -> str:
        """The same."""
        return self.name(row)

    def read(self, row: int) -> Payload:
        """Pixels of the row."""
        return self._pixels[row]

    def fingerprint(self) -> str:
        """Sha256 over shapes, pixels and labels."""
        digest = hashlib.sha256(self.labels.tobytes())
        for pixels in self._pixels:
            digest.update(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
        return digest.hexdigest()


class FloatRows:
    """Rows that are pixels in [0, 1] and need no decoding: kept as they are, not rounded to bytes.

    Args:
        pixels: (rows, 1 or 3, height, width) float32.
        labels: (rows,) int64, -1 where not known.
        source: what messages call the set.

    Raises:
        DataError: a pixel is no number or outside [0, 1].
    """

    def __init__(self, pixels: Tensor, labels: NDArray[np.int64], *, source: str) -> None:
        low, high = map(float, torch.aminmax(pixels)) if pixels.numel() else (0.0, 0.0)
        if not (low >= 0.0 and high <= 1.0):
            raise DataError(
                f"{source}: pixels from {low:g} to {high:g}; expected raw pixels in [0, 1], so "
                "leave out the normalisation: it belongs into the classifier"
            )
        self.pixels = pixels
        self.labels = labels
        self._source = source

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, row: int) -> str:
        """Place in the set."""
        return f"{self._source} item {row}"

    def record_name(self, row: int) -> str:
        """The same."""
        return self.name(row)

    def read(self, row: int) -> Payload:
        """Never called: there is nothing to decode."""
        raise DataError(f"{self.name(row)}: pixels of type float have no encoded form")

    def fingerprint(self) -> str:
        """Sha256 over shape, pixels and labels."""
        digest = hashlib.sha256(self.labels.tobytes() + repr(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.numpy().tobytes())
        return digest.hexdigest()

    def batch(self, which: NDArray[np.int64], channels: int) -> Tensor:
        """(len(which), channels, height, width) float32, gray and colour converted."""
        pixels = self.pixels[torch.from_numpy(which)]
        if pixels.shape[1] == channels:
            return pixels
        if channels == 3:
            return pixels.expand(-1, 3, -1, -1)
        weights = torch.tensor(_GRAY_WEIGHTS).view(1, 3, 1, 1)
        return (pixels * weights).sum(1, keepdim=True).clamp_(0, 1)


def tensor_rows(
    images: Tensor | NDArray[Any], labels: NDArray[np.int64], *, source: str
) -> PixelRows | FloatRows:
    """Rows of a batch (images, channels, height, width): uint8, or floats in [0, 1].

    Raises:
        ShapeError: another shape, or channels that are neither 1 nor 3.
        DataError: no images, another dtype, or floats outside [0, 1].
    """
    # Copied from NumPy, whose arrays may be read-only.
    batch = torch.as_tensor(images if isinstance(images, Tensor) else np.array(images))
    batch = batch.detach().cpu()
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or 0 in batch.shape[2:]:
        raise ShapeError(
            f"{source}: images of shape {tuple(batch.shape)}; expected (images, 1 or 3 channels, "
            "height, width)"
        )
    if not len(batch):
        raise DataError(f"{source}: no images")
    if len(labels) != len(batch):
        raise ShapeError(
            f"{source}: {len(batch)} images and {len(labels)} labels; expected as many"
        )
    if batch.dtype == torch.uint8:
        arrays = batch.permute(0, 2, 3, 1).contiguous().numpy()
        pixels = [each[..., 0] if each.shape[-1] == 1 else each for each in arrays]
        return PixelRows(pixels, labels, source=source)
    if not batch.is_floating_point():
        raise DataError(f"{source}: images are {batch.dtype}; expected uint8, or floats in [0, 1]")
    return FloatRows(batch.to(torch.float32), labels, source=source)


def label_array(labels: Any, count: int, *, source: str) -> NDArray[np.int64]:
    """(count,) int64 labels; -1 for ``None``, and for all where there are none.

    Raises:
        DataError: a label is no whole number, or below -1.
    """
    if labels is None:
        return np.full(count, -1, dtype=np.int64)
    values = labels.tolist() if isinstance(labels, (Tensor, np.ndarray)) else list(labels)
    found = np.empty(len(values), dtype=np.int64)
    for place, value in enumerate(values):
        value = -1 if value is None else value
        if isinstance(value, (Tensor, np.generic)):
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int) or value < -1:
            raise DataError(
                f"{source} item {place}: label {value!r}; expected a whole number from 0, or -1 or "
                "None where it is not known"
            )
        found[place] = value
    return found


def collect_items(dataset: Any, *, source: str) -> PixelRows | FloatRows:
    """All items of a data set of ``(image, label)`` pairs, or of images alone, in memory.

    An image is a PIL image, an array (height, width[, 1 or 3]) or (1 or 3, height, width), or a
    tensor (channels, height, width); arrays and tensors are uint8, or floats in [0, 1].

    Raises:
        DataError: an item is none of these, or items are of different kinds.
        ShapeError: tensors of floats whose shapes differ.
    """
    pixels: list[Any] = []
    labels: list[Any] = []
    for place in range(len(dataset)):
        item = dataset[place]
        image, label = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
        pixels.append(_pixels_of(image, f"{source} item {place}"))
        labels.append(label)
    known = label_array(labels, len(labels), source=source)
    if not pixels:
        raise DataError(f"{source}: no images")
    if all(isinstance(each, np.ndarray) for each in pixels):
        return PixelRows(pixels, known, source=source)
    if not all(isinstance(each, Tensor) for each in pixels):
        raise DataError(f"{source}: some images are bytes and some floats; expected one kind")
    shapes = {tuple(each.shape) for each in pixels}
    if len(shapes) > 1:
        raise ShapeError(f"{source}: images of several shapes, {sorted(shapes)[:3]}; resize them")
    return FloatRows(torch.stack(pixels), known, source=source)


def _pixels_of(image: Any, name: str) -> NDArray[np.uint8] | Tensor:
    """An image as (height, width[, 3]) uint8, or as (channels, height, width) float32."""
    if isinstance(image, Image.Image):
        mode = "L" if image.mode in GRAY_MODES else "RGB"
        return np.asarray(convert_mode(image, mode), dtype=np.uint8)
    if not isinstance(image, (Tensor, np.ndarray)):
        raise DataError(
            f"{name} is {type(image).__name__}; expected a PIL image, an array or a tensor, or a "
            "pair of one and its label"
        )
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    channels_last = isinstance(image, np.ndarray) and array.ndim == 3 and array.shape[2] in (1, 3)
    if array.ndim == 2:
        array = array[None]
    elif channels_last:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape:
        raise DataError(
            f"{name} has shape {tuple(image.shape)}; expected 1 or 3 channels of pixels"
        )
    if array.dtype == np.uint8:
        found = array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
        return np.ascontiguousarray(found)
    if array.dtype.kind != "f":
        raise DataError(f"{name} is of {array.dtype}; expected uint8, or floats in [0, 1]")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
