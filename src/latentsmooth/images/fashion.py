"""Fashion-MNIST from its four IDX files."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentsmooth.errors import DataError
from latentsmooth.files import is_file, is_folder
from latentsmooth.images.rows import ArrayRows, FoundImages, checked_labels, read_file
from latentsmooth.images.splits import choose_split

__all__ = ["CLASS_NAMES", "DEBIAN_FOLDER", "fashion_rows", "parse_idx"]

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PREFIXES = {"train": "train", "test": "t10k"}
_UINT8 = 0x08
_MAX_DIMENSIONS = 4
_MAX_BYTES = 2**28
"""Five times the training images."""


def parse_idx(content: bytes, *, name: str) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped or raw: its own shape, uint8.

    The format: two zero bytes, the element type, the number of dimensions, each dimension as a
    big-endian uint32, the elements.

    Raises:
        DataError: not IDX, another element type, or shorter or longer than its header says.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), name="two bytes")
    array([7, 9], dtype=uint8)
    """
    if content[:2] == b"\x1f\x8b":
        try:
            content = _unzipped(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name}: corrupt or truncated gzip file: {error}") from error
    if len(content) > _MAX_BYTES:
        raise DataError(f"{name}: refused, more than {_MAX_BYTES:,} bytes unpacked")
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(
            f"{name}: not an IDX file; it begins with {content[:4].hex(' ') or 'nothing'}"
        )
    if content[2] != _UINT8:
        raise DataError(
            f"{name}: IDX element type {content[2]:#04x}; expected 0x08, unsigned bytes"
        )
    if not 1 <= content[3] <= _MAX_DIMENSIONS:
        raise DataError(f"{name}: {content[3]} dimensions; expected 1 to {_MAX_DIMENSIONS}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{name}: truncated IDX header, {len(content)} of {start} bytes")
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist())
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{name}: {len(content) - start} elements; its header says {shape}, so expected "
            f"{math.prod(shape)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _unzipped(content: bytes) -> bytes:
    """At most a block more than what may be read."""
    unpacked = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        while len(unpacked) <= _MAX_BYTES and (block := stream.read(1 << 20)):
            unpacked += block
    return bytes(unpacked)


def fashion_rows(folder: str | None, split: str) -> FoundImages:
    """One split of Fashion-MNIST in a folder (Debian's where ``None``).

    The fingerprint is over pixels and labels, so that it does not depend on compression.

    Raises:
        ConfigurationError: a split other than train and test.
        DataError: a file is missing, damaged or contradicts the other.
    """
    place = DEBIAN_FOLDER if folder is None else Path(folder)
    found = choose_split(split, tuple(_PREFIXES), where="fashion-mnist")
    image_file = _find(place, f"{_PREFIXES[found]}-images", "idx3-ubyte")
    label_file = _find(place, f"{_PREFIXES[found]}-labels", "idx1-ubyte")
    pixels = parse_idx(read_file(image_file), name=str(image_file))
    labels = parse_idx(read_file(label_file), name=str(label_file))
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise DataError(f"{image_file}: shape {pixels.shape}; expected (images, height, width)")
    if labels.shape != pixels.shape[:1]:
        raise DataError(
            f"{label_file}: labels of shape {labels.shape}; expected {len(pixels)}, one for each "
            f"image of {image_file}"
        )
    digest = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    rows = ArrayRows(pixels, labels.astype(np.int64), file=str(image_file), digest=digest)
    checked_labels(labels, CLASS_NAMES, rows)
    return FoundImages(rows, found, CLASS_NAMES, named=True)


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{joint}{kind}{end}" for joint in "-." for end in ("", ".gz")]
    for name in names:
        if is_file(folder / name):
            return folder / name
    problem = (
        f"{folder} has no {names[0]}[.gz]" if is_folder(folder) else f"no such folder: {folder}"
    )
    raise DataError(
        f"fashion-mnist: {problem}; install it with `apt install dataset-fashion-mnist`, or give "
        "fashion-mnist:FOLDER with the four IDX files of github.com/zalandoresearch/fashion-mnist "
        "(fashion-mini needs none)"
    )
