"""A folder's tree without what tools leave in it, and an account of what was left out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from latentsmooth.errors import DataError
from latentsmooth.images.content import LFS_CAUSE, image_fault

__all__ = [
    "Folder",
    "LeftOut",
    "identity",
    "is_tool_made",
    "note_fault",
    "printable",
    "suffix_of",
    "walk",
]

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm"),
    )
)
_TOOL_MADE = frozenset(
    (
        *("__macosx", "@eadir", "@tmp", "@recycle", "@sharebin", "#recycle", "#snapshot"),
        *("$recycle.bin", "recycler", "system volume information", "lost+found", "lost.dir"),
        *("__pycache__", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
        *("_vti_cnf", "_svn", "@recently-snapshot", "@transcode", "found.000"),
        *("network trash folder", "temporary items", "thevolumesettingsfolder", "_gsdata_"),
        *("_ds_store", "picasa.ini", "zbthumbnail.info", "synofile_thumb"),
    )
)
MAX_DEPTH = 128
_SHOWN = 3
LONGEST_NAME = 200


def is_tool_made(name: str) -> bool:
    """Whether a file or folder is hidden, or of a kind that archivers and file managers leave.

    >>> [is_tool_made(name) for name in ("__MACOSX", "._1.jpg", ".thumbnails", "Thumbs.db", "cat")]
    [True, True, True, True, False]
    """
    lower = name.lower()
    return (
        lower.startswith((".", "@__", "@syno", "__macosx", "synofile_thumb")) or lower in _TOOL_MADE
    )


def printable(name: str, *, most: int = LONGEST_NAME) -> str:
    """A name on one line that no terminal obeys, cut to a length that a message has room for."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return shown if len(shown) <= most else f"{shown[:most]}\u2026"


class LeftOut:
    """Files and folders that are no part of a set of images, by the reason why."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Note one, under a reason that reads well before its name."""
        self._names.setdefault(reason, []).append(name)

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))

    def by_reason(self) -> dict[str, tuple[str, ...]]:
        """Every name, by reason."""
        return {reason: tuple(names) for reason, names in self._names.items()}

    def notes(self) -> list[str]:
        """One line for all of it, none where there is nothing.

        >>> left_out = LeftOut()
        >>> for number in range(5):
        ...     left_out.add("no image", f"cat/{number}.txt")
        >>> left_out.notes()
        ['left out: 5 × no image (cat/0.txt, cat/1.txt, cat/2.txt and 2 more)']
        """
        parts = [f"{len(names)} × {why} ({_few(names)})" for why, names in self._names.items()]
        return ["left out: " + "; ".join(parts)] if parts else []


def _few(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


@dataclass(eq=False)
class Folder:
    """One folder of a tree: names of its files, its sub-folders, both sorted.

    Attributes:
        path: how to open it.
        inside: its path below the tree's root, ``""`` for the root itself.
        files: names of the files in it, images or not.
        folders: sub-folders by name; tool-made ones and second ways to the same one are not there.
        links: names of the files that are links.
    """

    path: str
    inside: str
    files: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Its own name."""
        return os.path.basename(self.path)  # noqa: PTH119 - as below

    def join(self, name: str) -> str:
        """Path of one of its files."""
        return os.path.join(self.path, name)  # noqa: PTH118 - of a million files, and any name

    def shown(self, name: str) -> str:
        """The same below the root, for messages."""
        return f"{self.inside}/{name}" if self.inside else name

    def all_files(self) -> Iterator[tuple[Folder, str]]:
        """Every file in it and below."""
        for name in self.files:
            yield self, name
        for folder in self.folders.values():
            yield from folder.all_files()

    @cached_property
    def first_image(self) -> str | None:
        """Name of an image directly in it, found without reading more files than needed."""
        likely = sorted(self.files, key=lambda name: suffix_of(name) not in IMAGE_SUFFIXES)
        return next((name for name in likely if image_fault(self.join(name)) is None), None)

    @cached_property
    def holds_images(self) -> bool:
        """Whether there is an image in it or below."""
        return self.first_image is not None or any(
            folder.holds_images for folder in self.folders.values()
        )

    @property
    def image_folders(self) -> list[Folder]:
        """Its sub-folders that hold images."""
        return [folder for folder in self.folders.values() if folder.holds_images]


def note_fault(fault: str, folder: Folder, name: str, left_out: LeftOut) -> None:
    """Note a file that is no image.

    Raises:
        DataError: it is a Git LFS pointer that stands for an image.
    """
    if fault == LFS_CAUSE and suffix_of(name) in IMAGE_SUFFIXES | {""}:
        raise DataError(f"{printable(folder.join(name))}: {LFS_CAUSE}")
    left_out.add("a Git LFS pointer" if fault == LFS_CAUSE else fault, folder.shown(name))


def suffix_of(name: str) -> str:
    """A file name's last suffix in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - as above


def identity(path: str) -> tuple[int, int] | str:
    """What two paths of one file have in common, links followed."""
    try:
        status = os.stat(path)  # noqa: PTH116 - any name
    except (OSError, ValueError):
        return path
    return status.st_dev, status.st_ino


def walk(root: Path, left_out: LeftOut) -> Folder:
    """The tree below a folder; links to folders are followed, each folder is entered once.

    Real folders go before links to them, so that what is read does not depend on a link's name.

    Raises:
        DataError: the folder itself cannot be read.
    """
    tree = Folder(str(root), "")
    seen = _keys_above(root)
    links: list[tuple[Folder, str]] = []
    pending = [tree]
    while pending or links:
        if not pending:
            parent, name = links.pop(0)
            pending.append(parent.folders[name])
        folder = pending.pop()
        try:
            status = os.stat(folder.path)  # noqa: PTH116
            key = (status.st_dev, status.st_ino)
            fault = "a link to a folder that is above or read already" if key in seen else None
            if fault is None:
                seen.add(key)
                below = _list(folder, links, left_out)
        except OSError as error:
            fault = f"unreadable ({error.strerror})"
        if fault is None:
            pending += below
        elif folder is tree:
            raise DataError(f"{printable(str(root))}: {fault}")
        else:
            left_out.add(fault, folder.inside)
            _forget(tree, folder.inside)
    return tree


def _keys_above(root: Path) -> set[tuple[int, int]]:
    """Devices and inodes of the folders that a folder lies in: links to them lead outside."""
    found = set()
    with contextlib.suppress(OSError):
        for parent in root.resolve().parents:
            status = parent.stat()
            found.add((status.st_dev, status.st_ino))
    return found


def _forget(tree: Folder, inside: str) -> None:
    *above, name = inside.split("/")
    for step in above:
        tree = tree.folders[step]
    del tree.folders[name]


def _list(folder: Folder, links: list[tuple[Folder, str]], left_out: LeftOut) -> list[Folder]:
    """Fill in a folder's files and sub-folders; the sub-folders to enter next."""
    with os.scandir(folder.path) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    below = []
    for entry in found:
        is_folder = _leads_to_folder(entry)
        if is_tool_made(entry.name):
            # Of the files that file managers leave, every folder would have one to say.
            if is_folder or (
                suffix_of(entry.name) in IMAGE_SUFFIXES and not entry.name.startswith("._")
            ):
                left_out.add("hidden or left by a tool", folder.shown(entry.name))
        elif is_folder:
            child = Folder(entry.path, folder.shown(entry.name))
            if child.inside.count("/") >= MAX_DEPTH:
                raise DataError(f"{printable(child.path)}: nested deeper than {MAX_DEPTH} folders")
            folder.folders[entry.name] = child
            if entry.is_symlink():
                links.append((folder, entry.name))
            else:
                below.append(child)
        else:
            folder.files.append(entry.name)
            if entry.is_symlink():
                folder.links.add(entry.name)
    return below[::-1]


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False
