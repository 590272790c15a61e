"""Tables that lie in folders of images and tell their labels or splits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latentsmooth.errors import DataError
from latentsmooth.images.classes import number_labels
from latentsmooth.images.listings import METADATA_NAMES, read_annotations, read_listing
from latentsmooth.images.walk import Folder, printable

__all__ = ["FolderTables", "read_tables"]

_ANNOTATIONS = "val_annotations.txt"


@dataclass(slots=True)
class FolderTables:
    """What ``metadata.csv`` and its kin say of image files, by their normalised path.

    Attributes:
        labels: the class of an image, ``None`` where a table has it without one.
        splits: the split of an image.
        files: the tables.
        numbered: whether all labels are whole numbers, and so no names.
    """

    labels: dict[str, str | None] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    numbered: bool = True

    def class_names(self, of_folders: Iterable[str]) -> tuple[tuple[str, ...], bool]:
        """Class names of the whole set, and whether they are names rather than numbers.

        Args:
            of_folders: the classes that folders without labels in a table are called after.

        Raises:
            DataError: numbers in the tables, other names of folders.
        """
        known = {label for label in self.labels.values() if label is not None}
        folders = set(of_folders)
        if not (known and self.numbered):
            return tuple(sorted(known | folders)), True
        if not folders:
            names, values = number_labels(known)
            self.labels = {
                path: None if label is None else str(values[label])
                for path, label in self.labels.items()
            }
            return names, False
        if not known <= folders:
            raise DataError(
                f"{', '.join(sorted(map(printable, self.files)))}: labels are numbers such as "
                f"{min(known - folders)}, while other folders have classes such as "
                f"{printable(min(folders))}; expected names of classes"
            )
        return tuple(sorted(folders)), True

    def _add(self, table: str, path: str, label: str | None) -> None:
        other = self.labels.setdefault(path, label)
        if other != label:
            raise DataError(
                f"{printable(table)}: {printable(path)} has the label {label!r}, and elsewhere "
                f"{other!r}; expected one"
            )

    def _read(self, folder: Folder, name: str) -> None:
        listing = read_listing(Path(folder.join(name)))
        paths = listing.located(Path(folder.path))
        if listing.labels is not None:
            for path, label in zip(paths, listing.labels, strict=True):
                self._add(str(listing.file), path, label)
            self.numbered &= listing.numbered
        for path, split in zip(paths, listing.splits or (), strict=False):
            if self.splits.setdefault(path, split) != split:
                raise DataError(f"{listing.file}: {printable(path)} is of two splits")

    def _annotate(self, folder: Folder) -> None:
        labels = read_annotations(Path(folder.join(_ANNOTATIONS)))
        for path, label in _annotated(folder, labels):
            self._add(folder.join(_ANNOTATIONS), path, label)
        self.numbered = False


def read_tables(folders: Sequence[Folder]) -> FolderTables:
    """Read the tables that lie directly in some folders.

    Raises:
        DataError: one cannot be read, or they give an image two labels or splits.
    """
    tables = FolderTables()
    for folder in folders:
        for name in folder.files:
            if name.lower() in METADATA_NAMES:
                tables._read(folder, name)
            elif name == _ANNOTATIONS:
                tables._annotate(folder)
            else:
                continue
            tables.files.add(folder.join(name))
    return tables


def _annotated(folder: Folder, labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Annotations name files without their folder: in this one or any below it."""
    for owner, name in folder.all_files():
        if name in labels:
            yield os.path.normpath(owner.join(name)), labels[name]
