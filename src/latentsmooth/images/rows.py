"""What a source hands over: encoded images by row, their labels and a digest of their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentsmooth.errors import DataError
from latentsmooth.images.content import LFS_CAUSE, is_lfs_pointer
from latentsmooth.images.walk import printable

__all__ = ["ArrayRows", "FileRows", "FoundImages", "Payload", "Rows", "file_digest"]

LONGEST_RECORD = 500
"""Characters of the name by which a log calls an image."""
MAX_FILE_BYTES = 2**28
"""Of one image file: the largest that is decoded takes less in any format."""
Payload = bytes | NDArray[np.uint8]
"""An encoded image file, or pixels of shape (height, width) or (height, width, 3)."""


class Rows(Protocol):
    """One split of a source, before decoding."""

    labels: NDArray[np.int64]
    """(rows,), -1 where the label is not known."""

    def __len__(self) -> int:
        """Images in the split."""
        ...

    def name(self, row: int) -> str:
        """What an error message calls the row."""
        ...

    def record_name(self, row: int) -> str:
        """The same without the folders that the set lies in, for logs that travel."""
        ...

    def read(self, row: int) -> Payload:
        """The row's encoded image; raises :class:`DataError` where there is none."""
        ...

    def fingerprint(self) -> str:
        """sha256, hexadecimal, over the content of the whole split."""
        ...


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What reading a source gave.

    Attributes:
        rows: one split's images and labels.
        split: its canonical name, or "all" where the source has none.
        class_names: of the whole set, by label.
        named: whether they were given, rather than made from labels that are numbers.
        notes: what a user may not expect of how it was read.
        left_out: names of what was left out, by the reason.
    """

    rows: Rows
    split: str
    class_names: tuple[str, ...]
    named: bool
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class ArrayRows:
    """Rows that are pixels already.

    Args:
        pixels: (rows, height, width) uint8.
        labels: (rows,) int64.
        file: where the pixels were read from, for messages.
        digest: sha256 of that file's content.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, file: str, digest: str
    ) -> None:
        self.pixels = pixels
        self.labels = labels
        self._file = file
        self._digest = digest

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, row: int) -> str:
        """File and row."""
        return f"{self._file} row {row}"

    def record_name(self, row: int) -> str:
        """Row of the file, its folder left out."""
        return printable(f"{Path(self._file).name} row {row}", most=LONGEST_RECORD)

    def read(self, row: int) -> Payload:
        """(height, width) uint8."""
        pixels: NDArray[np.uint8] = self.pixels[row]
        return pixels

    def fingerprint(self) -> str:
        """Digest handed over with the pixels."""
        return self._digest


class FileRows:
    """Rows that are one image file each, read when asked for.

    Args:
        paths: the files.
        labels: (rows,) int64.
        root: folder that names and the fingerprint are relative to; ``None`` keeps paths whole.
    """

    def __init__(
        self, paths: Sequence[str | Path], labels: NDArray[np.int64], *, root: Path | None
    ) -> None:
        # As they come: a `Path` for each of a million would take seconds.
        self._paths = tuple(paths)
        self.labels = labels
        self._root = root

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(map(Path, self._paths))

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, row: int) -> str:
        """Path of the file."""
        return str(self._paths[row])

    def record_name(self, row: int) -> str:
        """Path of the file below the root."""
        return printable(self._relative(self._paths[row]), most=LONGEST_RECORD)

    def read(self, row: int) -> Payload:
        """Bytes of the file."""
        return read_file(Path(self._paths[row]))

    def fingerprint(self) -> str:
        """Sha256 over every file's name, relative to the root, label and bytes."""
        digest = hashlib.sha256()
        for path, label in zip(self._paths, self.labels.tolist(), strict=True):
            name = self._relative(path)
            digest.update(f"{name}\0{label}\0".encode("utf-8", "surrogateescape"))
            digest.update(hashlib.sha256(read_file(Path(path))).digest())
        return digest.hexdigest()

    def _relative(self, path: str | Path) -> str:
        path = Path(path)
        if self._root is None:
            return path.name
        try:
            return path.relative_to(self._root).as_posix()
        except ValueError:  # a table may list files beside its own folder
            return Path(os.path.relpath(path, self._root)).as_posix()


def read_file(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Bytes of a file.

    Raises:
        DataError: it cannot be read or takes more than ``limit`` bytes; names the file.
    """
    try:
        with path.open("rb") as stream:
            # Asked for a number of bytes, Python would first allocate that many.
            content = stream.read() if os.fstat(stream.fileno()).st_size <= limit else None
    except OSError as error:
        raise DataError(f"cannot read image file {path}: {error.strerror or error}") from error
    if content is None:
        raise DataError(f"{path}: refused, more than {limit:,} bytes")
    if is_lfs_pointer(content):
        raise DataError(f"{path}: {LFS_CAUSE}")
    return content


def file_digest(paths: Iterable[Path]) -> str:
    """sha256, hexadecimal, over the files' bytes one after another; of one file, its own sha256.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def checked_labels(values: Any, class_names: Sequence[str], rows: Rows) -> NDArray[np.int64]:
    """(rows,) int64 labels, each -1 (not known) or an index into ``class_names``.

    Raises:
        DataError: a label is out of range; names the first such row.
    """
    labels = np.asarray(values, dtype=np.int64)
    wrong = np.flatnonzero((labels < -1) | (labels >= len(class_names)))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"{rows.name(row)}: label {labels[row]} is out of range; expected 0 to "
            f"{len(class_names) - 1} ({len(class_names)} classes) or -1 for unlabelled"
        )
    return labels
