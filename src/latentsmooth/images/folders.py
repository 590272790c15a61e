"""Folders of image files: their splits, classes and labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentsmooth.errors import DataError
from latentsmooth.files import is_folder
from latentsmooth.images.classes import number_labels
from latentsmooth.images.layout import Layout, SplitFolder, read_layout
from latentsmooth.images.listings import METADATA_NAMES, Listing, read_annotations, read_listing
from latentsmooth.images.rows import FileRows, FoundImages
from latentsmooth.images.splits import UNDIVIDED, check_split, choose_split
from latentsmooth.images.walk import Folder, LeftOut, printable, walk

__all__ = ["folder_images", "tree_images"]

_ANNOTATIONS = "val_annotations.txt"


def folder_images(folder: Path, split: str) -> FoundImages:
    """One split of a folder of image files.

    What is a split and what a class: see `layout.read_layout`. A ``metadata.csv``, ``.jsonl`` or
    ``.parquet`` with file names and labels, in the folder or in a split's, goes before the names
    of folders, and so does Tiny ImageNet's ``val_annotations.txt``. Class names are those of all
    splits, sorted. What is an image is told by content.

    Raises:
        ConfigurationError: unknown split, or one that is not there.
        DataError: no such folder, no images, or a layout that is not understood.
    """
    if not is_folder(folder):
        raise DataError(f"no such folder: {folder}; expected one with a folder of images a class")
    left_out = LeftOut()
    return tree_images(walk(folder, left_out), split, left_out)


def tree_images(tree: Folder, split: str, left_out: LeftOut) -> FoundImages:
    """The same of a tree that was walked already."""
    check_split(split)
    tables = _tables(tree)
    # Where tables tell the labels, folders need not.
    layout = read_layout(tree, strict=not any(labels for _, _, labels in tables))
    found = UNDIVIDED
    if UNDIVIDED not in layout.splits:
        found = choose_split(split, tuple(layout.splits), where=tree.path)
    for beside in layout.beside:
        left_out.add("folder of images beside the splits", beside.inside)
    for empty in layout.empty:
        left_out.add("folder without images", empty.inside)
    labels = _file_labels(tables, layout)
    part = layout.splits[found]
    if labels is None:
        root, names, named = part.place, _folder_names(layout), True
        images = _by_folder(part, layout, left_out)
    else:
        root, names, named = part.top, labels.names, labels.named
        images = _by_table(part, labels, left_out)
    if not images:
        raise DataError(
            f"no images in {printable(part.top.path)}; expected image files, in one folder a class"
            + "".join(f" ({note})" for note in left_out.notes())
        )
    order = {name: label for label, name in enumerate(names)}
    rows = FileRows(
        [Path(path) for _, path, _ in images],
        np.array([-1 if name is None else order[name] for _, _, name in images], dtype=np.int64),
        root=Path(root.path),
    )
    notes = [*left_out.notes(), *_remarks(images, names, found, tree, part)]
    return FoundImages(rows, found, names, named, tuple(notes), left_out.by_reason())


_Image = tuple[str, str, str | None]
"""Path below the root, path, class."""


def _folder_names(layout: Layout) -> tuple[str, ...]:
    return tuple(sorted({name for part in layout.splits.values() for name in part.classes}))


def _by_folder(part: SplitFolder, layout: Layout, left_out: LeftOut) -> list[_Image]:
    if not part.classes:
        return [(inside, path, None) for inside, path in part.place.images(left_out, deep=False)]
    found: list[_Image] = []
    for name in sorted(part.classes):
        images = [
            entry for each in part.classes[name] for entry in each.images(left_out, deep=True)
        ]
        found += [(inside, path, name) for inside, path in images]
    for each in part.place.folders.values():
        if each.name not in part.classes and each not in layout.empty:
            left_out.add("folder without images", each.inside)
    for file in part.place.files:
        left_out.add("file beside the class folders", part.place.shown(file))
    return found


@dataclass(frozen=True, slots=True)
class _FileLabels:
    """Class by image file, as tables in the folders say."""

    by_path: Mapping[str, str | None]
    names: tuple[str, ...]
    named: bool
    tables: frozenset[str]


_Table = tuple[Folder, str, Mapping[str, str | None] | Listing | None]
"""A folder, a table in it, and the labels it gives: by file name, or as a listing; or none."""


def _tables(tree: Folder) -> list[_Table]:
    """The tables of labels in a tree."""
    found: list[_Table] = []
    for folder, name in tree.all_files():
        if name in METADATA_NAMES:
            listing = read_listing(Path(folder.join(name)))
            found.append((folder, name, None if listing.labels is None else listing))
        elif name == _ANNOTATIONS:
            found.append((folder, name, dict(read_annotations(Path(folder.join(name))))))
    return found


def _file_labels(tables: Sequence[_Table], layout: Layout) -> _FileLabels | None:
    """Labels of the tables in a tree, ``None`` where there are none with labels."""
    by_path: dict[str, str | None] = {}
    numbered = True
    for folder, _, labels in tables:
        if isinstance(labels, Listing):
            numbered = numbered and labels.numbered
            places = labels.located(Path(folder.path))
            by_path |= dict(zip(places, labels.labels or (), strict=True))
        elif labels is not None:
            numbered = False
            by_path |= _annotated(folder, labels)
    if not by_path:
        return None
    files = frozenset(folder.join(name) for folder, name, _ in tables)
    if numbered and not any(part.classes for part in layout.splits.values()):
        names, values = number_labels(by_path.values())
        by_path = {path: None if v is None else str(values[v]) for path, v in by_path.items()}
        return _FileLabels(by_path, names, False, files)
    known = {name for name in by_path.values() if name is not None}
    return _FileLabels(by_path, tuple(sorted(known | set(_folder_names(layout)))), True, files)


def _annotated(folder: Folder, labels: Mapping[str, str | None]) -> dict[str, str | None]:
    """Annotations name files without their folder: in this one or any below it."""
    return {
        os.path.normpath(owner.join(name)): labels[name]
        for owner, name in folder.all_files()
        if name in labels
    }


def _by_table(part: SplitFolder, labels: _FileLabels, left_out: LeftOut) -> list[_Image]:
    """A split's images with the labels of tables; where none names it, that of its folder."""
    folders = {
        id(below): name
        for name, folders in part.classes.items()
        for folder in folders
        for below in _with_all_below(folder)
    }
    here = {os.path.normpath(each.join(name)): each for each, name in part.top.all_files()}
    covered = any(path in labels.by_path for path in here)
    found: list[_Image] = []
    for inside, path in part.top.images(left_out, deep=True, aside=labels.tables):
        where = os.path.normpath(path)
        if where in labels.by_path:
            found.append((inside, path, labels.by_path[where]))
        elif id(here[where]) in folders and not covered:
            found.append((inside, path, folders[id(here[where])]))
        elif covered:
            left_out.add("image that no table of labels names", inside)
        else:
            found.append((inside, path, None))
    prefix = os.path.join(os.path.normpath(part.top.path), "")  # noqa: PTH118
    for path in labels.by_path:
        if path.startswith(prefix) and path not in here:
            left_out.add("missing, though a table of labels names it", path[len(prefix) :])
    return found


def _with_all_below(folder: Folder) -> list[Folder]:
    return [folder, *(each for below in folder.folders.values() for each in _with_all_below(below))]


def _remarks(
    images: Sequence[_Image], names: Sequence[str], found: str, tree: Folder, part: SplitFolder
) -> list[str]:
    """What a user may not expect of how a folder was understood."""
    remarks = []
    if found == UNDIVIDED:
        remarks.append("there are no split folders: the same images answer to every split")
    if part.top.path != tree.path and found == UNDIVIDED:
        remarks.append(f"read from {printable(part.top.inside)}, the only folder with images")
    labelled = {name for _, _, name in images if name is not None}
    if names and not labelled:
        remarks.append(f"the images of split {found} have no class folders: they are unlabelled")
    elif absent := [name for name in names if name not in labelled]:
        shown = ", ".join(map(printable, absent[:4]))
        more = f" and {len(absent) - 4:,} more" if len(absent) > 4 else ""
        remarks.append(f"no images here of {len(absent)} of {len(names)} classes: {shown}{more}")
    return remarks
