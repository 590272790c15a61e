"""Images that a user asks for by files, folders, archives and patterns."""

from __future__ import annotations

import glob
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentsmooth.errors import DataError
from latentsmooth.files import is_file, is_folder, user_path
from latentsmooth.images.content import image_fault, kind_of_content
from latentsmooth.images.rows import LONGEST_RECORD, MAX_FILE_BYTES, Payload, read_file
from latentsmooth.images.walk import (
    IMAGE_SUFFIXES,
    LeftOut,
    is_tool_made,
    printable,
    suffix_of,
    walk,
)

__all__ = ["RequestedImage", "RequestedRows", "find_requested"]

MAX_MEMBERS = 1_000_000
_MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class RequestedImage:
    """One image, not yet read.

    Attributes:
        name: what results call it.
        read: gives its encoded bytes, or its pixels.
        label: its class where it is known.
    """

    name: str
    read: Callable[[], Payload]
    label: str | None = None


class RequestedRows:
    """Rows of images that were asked for one by one, without labels."""

    def __init__(self, images: Sequence[RequestedImage]) -> None:
        self.images = tuple(images)
        self.labels = np.full(len(images), -1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, row: int) -> str:
        """The name it was asked for by."""
        return self.images[row].name

    def record_name(self, row: int) -> str:
        """The same, printable."""
        return printable(self.images[row].name, most=LONGEST_RECORD)

    def read(self, row: int) -> Payload:
        """Bytes or pixels of the image."""
        return self.images[row].read()

    def fingerprint(self) -> str:
        """Sha256 over names and contents."""
        digest = hashlib.sha256()
        for image in self.images:
            content = image.read()
            content = content if isinstance(content, bytes) else content.tobytes()
            digest.update(image.name.encode("utf-8", "surrogateescape") + b"\0")
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()


def find_requested(word: str, left_out: LeftOut) -> list[RequestedImage]:
    """The images that one word stands for.

    A file of that name goes first: an image, or a zip archive with the images in it. Then a
    folder, with all images below it; then a pattern (``*``, ``?``, ``[…]``, ``**``), sorted.
    What is no image in archives and folders is left out, unless its name says that it should be;
    a file that was named is taken as it is.

    Raises:
        DataError: there is none of these, or no image in it.
    """
    place = str(user_path(word))
    if is_file(place):
        if _is_archive(place):
            return _some(list(_members(Path(place), left_out)), word, left_out)
        return [_file(place)]
    if is_folder(place):
        files = walk(Path(place), left_out).all_files()
        paths = sorted(
            (folder.join(name) for folder, name in files), key=lambda each: each.split("/")
        )
        return _some(list(_pictures(paths, left_out)), word, left_out)
    if _MAGIC & set(place):
        matched = sorted(glob.glob(place, recursive=True))  # noqa: PTH207 - absolute ones too
        paths = [path for path in matched if not is_folder(path)]
        return _some(list(_pictures(paths, left_out)), word, left_out)
    raise DataError(
        f"no such image file: {printable(place)}; expected a file, a folder, a zip "
        "archive or a pattern"
    )


def _some(found: list[RequestedImage], word: str, left_out: LeftOut) -> list[RequestedImage]:
    if not found:
        said = "".join(f" ({note})" for note in left_out.notes())
        raise DataError(f"no images in {printable(word)}{said}")
    return found


def _file(path: str) -> RequestedImage:
    def read() -> Payload:
        # Asked first, as a pipe would be waited for.
        if (fault := image_fault(path)) is not None:
            raise DataError(f"{printable(path)}: not a readable image: {fault}")
        return read_file(Path(path))

    return RequestedImage(path, read)


def _pictures(paths: Sequence[str], left_out: LeftOut) -> Iterator[RequestedImage]:
    """The images among files, and those that by their names should be, to be named as bad ones."""
    for path in paths:
        if is_tool_made(os.path.basename(path)):  # noqa: PTH119
            continue
        fault = image_fault(path)
        if fault is None or suffix_of(path) in IMAGE_SUFFIXES:
            yield _file(path)
        else:
            left_out.add(fault, path)


def _is_archive(path: str) -> bool:
    with suppress(OSError):
        return image_fault(path) == "a zip archive" and zipfile.is_zipfile(path)
    return False


def _members(archive: Path, left_out: LeftOut) -> Iterator[RequestedImage]:
    """The images in an archive, whose names are trusted with nothing but to be names."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            if len(members) > MAX_MEMBERS:
                raise DataError(f"{archive}: {len(members):,} members; at most {MAX_MEMBERS:,}")
            for member in sorted(members, key=lambda each: each.filename):
                name = f"{archive}/{member.filename}"
                if member.is_dir() or any(map(is_tool_made, member.filename.split("/"))):
                    continue
                with file.open(member) as stream:
                    fault = kind_of_content(stream.read(64))
                if fault is None or suffix_of(name) in IMAGE_SUFFIXES:
                    yield RequestedImage(name, _member_reader(archive, member.filename, name))
                else:
                    left_out.add(fault, name)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        # RuntimeError where it wants a password.
        if isinstance(error, DataError):
            raise
        raise DataError(f"{archive}: not a readable zip archive: {error}") from error


def _member_reader(archive: Path, member: str, name: str) -> Callable[[], Payload]:
    def read() -> Payload:
        try:
            with zipfile.ZipFile(archive) as file, file.open(member) as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except (zipfile.BadZipFile, OSError, KeyError, RuntimeError, EOFError) as error:
            raise DataError(f"{printable(name)}: cannot be read: {error}") from error
        if len(content) > MAX_FILE_BYTES:
            raise DataError(f"{printable(name)}: refused, more than {MAX_FILE_BYTES:,} bytes")
        return content

    return read
