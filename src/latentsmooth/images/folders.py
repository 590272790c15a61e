"""Folders of image files: their splits, classes and labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.files import is_folder
from latentsmooth.images.content import image_fault
from latentsmooth.images.folder_remarks import remarks
from latentsmooth.images.folder_tables import FolderTables, read_tables
from latentsmooth.images.layout import Layout, SplitFolder, read_layout
from latentsmooth.images.listings import METADATA_NAMES
from latentsmooth.images.rows import FileRows, FoundImages
from latentsmooth.images.splits import UNDIVIDED, check_split, choose_split, exact_split
from latentsmooth.images.walk import Folder, LeftOut, identity, note_fault, printable, walk

__all__ = ["folder_images", "tree_images"]

_Image = tuple[str, str, str | None]
"""Path below the root, path, class."""


def folder_images(folder: Path, split: str) -> FoundImages:
    """One split of a folder of image files.

    What is a split and what a class: see `layout.read_layout`. A ``metadata.csv``, ``.jsonl`` or
    ``.parquet`` with file names and labels or splits, in the folder or in a split's, goes before
    the names of folders, and so does Tiny ImageNet's ``val_annotations.txt``. Class names are those
    of all splits, sorted. What is an image is told by content.

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
    if not tree.holds_images:
        raise _no_images(tree, left_out)
    layout, tables = _understood(tree)
    _note_beside(layout, left_out)
    found = _chosen(split, layout, tables, left_out)
    part = layout.splits[found if layout.divided else UNDIVIDED]
    covered = {name: _covers(each, tables) for name, each in layout.splits.items()}
    names, named = tables.class_names(
        name
        for split_name, each in layout.splits.items()
        for name in each.classes
        if not covered[split_name]
    )
    images = sorted(
        _labelled(part, layout, tables, found, left_out), key=lambda image: image[0].split("/")
    )
    if not images:
        raise _no_images(part.top, left_out)
    _check_links(images, layout, found)
    order = {name: label for label, name in enumerate(names)}
    rows = FileRows(
        [path for _, path, _ in images],
        np.array([-1 if name is None else order[name] for _, _, name in images], dtype=np.int64),
        root=Path((part.top if tables.labels else part.place).path),
    )
    labelled = {name for _, _, name in images if name is not None}
    notes = [*left_out.notes(), *remarks(labelled, names, found, layout, tables)]
    return FoundImages(rows, found, names, named, tuple(notes), left_out.by_reason())


def _understood(tree: Folder) -> tuple[Layout, FolderTables]:
    """The layout of a tree and the tables in it; where these have labels, folders need not."""
    may_have = any(name.lower() in METADATA_NAMES for _, name in tree.all_files())
    layout = read_layout(tree, strict=not may_have)
    places = [*layout.above, *(each for part in layout.splits.values() for each in _way(part))]
    tables = read_tables(list({id(each): each for each in places}.values()))
    if may_have and not tables.labels:
        layout = read_layout(tree)
    return layout, tables


def _no_images(folder: Folder, left_out: LeftOut) -> DataError:
    """What to raise of a folder without images; names what its files are instead."""
    if not len(left_out):
        for owner, name in folder.all_files():
            note_fault(image_fault(owner.join(name)) or "an image", owner, name, left_out)
    return DataError(
        f"no images in {printable(folder.path)}; expected image files, in one folder a class"
        + "".join(f" ({note})" for note in left_out.notes())
    )


def _note_beside(layout: Layout, left_out: LeftOut) -> None:
    for beside in layout.beside:
        left_out.add("folder of images beside those that are read", beside.inside)
    for empty in layout.empty:
        left_out.add("folder without images", empty.inside)
    for folder in layout.above[: None if layout.divided else -1]:
        for name in folder.files:
            fault = image_fault(folder.join(name))
            if fault is None:
                left_out.add("image beside the splits", folder.shown(name))
            elif fault.startswith(("a dead link", "unreadable")):
                left_out.add(fault, folder.shown(name))


def _way(part: SplitFolder) -> Iterator[Folder]:
    """The folders from a split's own to the one that its classes or images lie in."""
    folder = part.top
    yield folder
    while folder is not part.place:
        folder = folder.image_folders[0]
        yield folder


def _chosen(split: str, layout: Layout, tables: FolderTables, left_out: LeftOut) -> str:
    """The split to read, by its canonical name.

    Raises:
        ConfigurationError: it is not there.
        DataError: its folder has no images but other files, or a table contradicts the folders.
    """
    available = layout.splits.keys() if layout.divided else set(tables.splits.values())
    if not available:
        return UNDIVIDED
    if layout.divided:
        _check_tables(layout, tables)
        for empty in layout.empty:
            if exact_split(empty.name) == exact_split(split) and any(empty.all_files()):
                raise _no_images(empty, LeftOut())
    try:
        return choose_split(split, sorted(available), where=printable(layout.above[0].path))
    except ConfigurationError as error:
        said = "".join(f" ({note})" for note in left_out.notes())
        raise ConfigurationError(f"{error}{said}") from error


def _check_tables(layout: Layout, tables: FolderTables) -> None:
    """Refuse a table that gives an image another split than its folder does."""
    for found, part in layout.splits.items():
        for folder in part.folders if tables.splits else ():
            for owner, name in folder.all_files():
                split = tables.splits.get(os.path.normpath(owner.join(name)), found)
                if split != found:
                    raise DataError(
                        f"{printable(owner.join(name))} lies in the folder of split {found}, a "
                        f"table says {split}"
                    )


def _covers(part: SplitFolder, tables: FolderTables) -> bool:
    """Whether tables have labels for a split's images."""
    return bool(tables.labels) and any(
        os.path.normpath(owner.join(name)) in tables.labels
        for folder in part.folders
        for owner, name in folder.all_files()
    )


def _labelled(
    part: SplitFolder, layout: Layout, tables: FolderTables, found: str, left_out: LeftOut
) -> Iterator[_Image]:
    """A split's images with the labels of tables, or, where these have none of it, of folders."""
    if not tables.labels and not tables.splits:
        yield from _images(part, layout, tables, left_out)
        return
    by_table = _covers(part, tables)
    seen = set()
    for inside, path, of_folder in _images(part, layout, tables, left_out):
        where = os.path.normpath(path)
        seen.add(where)
        split = tables.splits.get(where)
        if by_table and where not in tables.labels:
            left_out.add("image that no table of labels names", inside)
        elif not layout.divided and tables.splits and split is None:
            left_out.add("image that no table gives a split", inside)
        elif layout.divided or split in (None, found):
            yield inside, path, tables.labels[where] if by_table else of_folder
    for path in _missing(part, tables, seen, found if tables.splits else None):
        left_out.add("no image, though a table names it", path)


def _missing(
    part: SplitFolder, tables: FolderTables, seen: set[str], split: str | None
) -> list[str]:
    """Files that tables name and that were not found, but for those that are no images."""
    found = []
    for folder in part.folders:
        top = os.path.join(os.path.normpath(folder.path), "")  # noqa: PTH118
        here = {os.path.normpath(owner.join(name)) for owner, name in folder.all_files()}
        for path in tables.labels.keys() | tables.splits.keys():
            wanted = split is None or tables.splits.get(path, split) == split
            if wanted and path.startswith(top) and path not in seen and path not in here:
                found.append(path[len(top) :])
    return sorted(found)


def _images(
    part: SplitFolder, layout: Layout, tables: FolderTables, left_out: LeftOut
) -> Iterator[_Image]:
    """A split's images with the classes that folders give them; all other files are noted."""
    of_class = {
        id(below): name
        for name, folders in part.classes.items()
        for folder in folders
        for below in _with_all_below(folder)
    }
    for folder in part.place.folders.values():
        if not folder.holds_images and folder not in layout.empty:
            left_out.add("folder without images", folder.inside)
    for folder in part.folders:
        for owner, name in folder.all_files():
            path = owner.join(name)
            fault = image_fault(path)
            if fault is None:
                yield owner.shown(name), path, of_class.get(id(owner))
            elif path not in tables.files:
                note_fault(fault, owner, name, left_out)


def _with_all_below(folder: Folder) -> list[Folder]:
    return [folder, *(each for below in folder.folders.values() for each in _with_all_below(below))]


def _check_links(images: Sequence[_Image], layout: Layout, found: str) -> None:
    """Refuse links by which one file is an image of two splits."""
    folders = {split: part.folders for split, part in layout.splits.items()}
    owners = {
        split: [each for folder in found_in for each in _with_all_below(folder)]
        for split, found_in in folders.items()
    }
    if not layout.divided or not any(owner.links for each in owners.values() for owner in each):
        return
    here = {identity(path): inside for inside, path, _ in images}
    for split, below in owners.items():
        for owner, name in ((each, name) for each in below for name in each.files):
            same = here.get(identity(owner.join(name))) if split != found else None
            if same is not None:
                raise DataError(
                    f"{printable(layout.above[0].path)}: {printable(same)} of split {found} and "
                    f"{printable(owner.shown(name))} of split {split} are one file, through a link"
                )
