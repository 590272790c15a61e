"""Image files and labels that a table lists: `csv:FILE`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentsmooth.errors import DataError
from latentsmooth.files import is_file
from latentsmooth.images.class_parts import check_splits
from latentsmooth.images.classes import number_labels
from latentsmooth.images.content import LFS_CAUSE, image_fault
from latentsmooth.images.listings import Listing, read_listing
from latentsmooth.images.rows import FileRows, FoundImages
from latentsmooth.images.splits import (
    UNDIVIDED,
    canonical,
    check_split,
    choose_split,
    exact_split,
    splits_in_name,
)
from latentsmooth.images.table_sets import files_by_split
from latentsmooth.images.walk import LeftOut, identity, printable

__all__ = ["listed_images"]

_Row = tuple[str, str | None, str]
"""Path of an image, its label as text, its split."""


def listed_images(files: Sequence[Path], split: str) -> FoundImages:
    """One split of the images that tables list, with the labels they give.

    A column ``split`` tells the splits, or else the names of the tables, or the folders in the
    paths; where none does, all images answer to any. Paths are below the table's own folder, or,
    where the first is not there, below the working folder. Class names are those of all rows,
    sorted; labels that are all whole numbers are taken as numbers.

    Raises:
        ConfigurationError: unknown split, or one that is not there.
        DataError: a table cannot be read, an image is of two splits or has two labels, or none of
            those listed can be read.
    """
    check_split(split)
    listings = _read(files)
    rows = [row for listing, name in listings for row in _rows(listing, name)]
    names, labels, named = _labels(rows, listings)
    available = sorted({row[2] for row in rows})
    found = UNDIVIDED
    if available != [UNDIVIDED]:
        found = choose_split(split, available, where=str(files[0]))
    _check_once(rows)
    if named:
        told = [(row[2], [row[1]]) for row in rows if row[1] is not None]
        check_splits(told, where=str(files[0]))
    left_out = LeftOut()
    kept = _readable([row for row in rows if row[2] == found], files[0].parent, left_out)
    if not kept:
        said = "; ".join(left_out.notes())
        raise DataError(f"{files[0]}: no image of split {found} can be read ({said})")
    _check_links(kept, rows, found)
    known = np.array([-1 if text is None else labels[text] for _, text, _ in kept], dtype=np.int64)
    return FoundImages(
        rows=FileRows([Path(path) for path, _, _ in kept], known, root=files[0].parent),
        split=canonical(found),
        class_names=names,
        named=named,
        notes=(*left_out.notes(), *_remarks(found, known)),
        left_out=left_out.by_reason(),
    )


def _read(files: Sequence[Path]) -> list[tuple[Listing, str]]:
    """The tables, each with the split that its name speaks of."""
    for file in files:
        if not is_file(file):
            raise DataError(f"no such file: {file}; expected a table of image paths and labels")
    by_split = files_by_split(files, None)
    return [(read_listing(file), name) for name, members in by_split.items() for file in members]


def _remarks(found: str, labels: NDArray[np.int64]) -> list[str]:
    said = []
    if found == UNDIVIDED:
        said.append(
            "no column, table or folder is named after a split: the same images answer to all"
        )
    if not (labels >= 0).any():
        said.append(f"the images of split {found} are unlabelled")
    return said


def _rows(listing: Listing, split: str) -> list[_Row]:
    folder = listing.file.parent
    first = listing.paths[0]
    if not (folder / first).exists() and Path(first).exists():
        folder = Path()
    paths = listing.located(folder)
    labels = listing.labels or (None,) * len(paths)
    splits: Sequence[str] = [split] * len(paths)
    if listing.splits is not None:
        splits = listing.splits
    elif split == UNDIVIDED:
        splits = _splits_of_paths(listing)
    return list(zip(paths, labels, splits, strict=True))


def _splits_of_paths(listing: Listing) -> list[str]:
    """The splits that the folders in paths are called after, all "all" where they are not.

    Raises:
        DataError: only some are, or one path is of two.
    """
    folders = [path.replace("\\", "/").split("/")[:-1] for path in listing.paths]
    if all(path.startswith("/") for path in listing.paths):
        shared = os.path.commonpath([path.rpartition("/")[0] or "/" for path in listing.paths])
        folders = [parts[len(Path(shared).parts) :] for parts in folders]
    told = [{split for part in parts if (split := exact_split(part))} for parts in folders]
    if len(set().union(*told)) < 2 and not all(told):
        loose: list[set[str]] = [set().union(*map(splits_in_name, parts)) for parts in folders]
        told = loose if len(set().union(*loose)) > 1 else [set()] * len(folders)
    if not any(told):
        return [UNDIVIDED] * len(folders)
    row = next((row for row, splits in enumerate(told) if len(splits) != 1), None)
    if row is not None:
        splits = ", ".join(sorted(told[row])) or "no split"
        raise DataError(
            f"{listing.file}: {printable(listing.paths[row])} lies in folders of {splits}, others "
            "in that of one split; expected a column of splits"
        )
    return [min(splits) for splits in told]


def _labels(
    rows: Sequence[_Row], listings: Sequence[tuple[Listing, str]]
) -> tuple[tuple[str, ...], dict[str, int], bool]:
    """Class names, label by text, and whether they are names rather than numbers.

    Raises:
        DataError: one table has numbers, another names.
    """
    texts = {text for _, text, _ in rows if text is not None}
    labelled = [listing for listing, _ in listings if any(listing.labels or ())]
    if all(listing.numbered for listing in labelled):
        return *number_labels(texts), False
    by_name = {text for each in labelled if not each.numbered for text in each.labels or () if text}
    for each in labelled:
        if each.numbered and (strange := {text for text in each.labels or () if text} - by_name):
            raise DataError(
                f"{each.file}: labels are numbers such as {min(strange)}, those of another table "
                f"names such as {printable(min(by_name))!r}; expected the same kind in all"
            )
    names = tuple(sorted(texts))
    return names, {name: label for label, name in enumerate(names)}, True


def _check_once(rows: Sequence[_Row]) -> None:
    seen: dict[str, _Row] = {}
    for row in rows:
        other = seen.setdefault(row[0], row)
        if canonical(other[2]) != canonical(row[2]):
            raise DataError(f"{printable(row[0])} is listed in two splits, {other[2]} and {row[2]}")
        if other[1] != row[1]:
            raise DataError(
                f"{printable(row[0])} is listed with two labels, {other[1]!r} and {row[1]!r}"
            )


def _check_links(kept: Sequence[_Row], rows: Sequence[_Row], found: str) -> None:
    """Refuse links by which one file is an image of two splits."""
    others = [row for row in rows if row[2] != found]
    if not any(os.path.islink(row[0]) for row in (*kept, *others) if others):  # noqa: PTH114
        return
    here = {identity(path): path for path, _, _ in kept}
    for path, _, split in others:
        if (same := here.get(identity(path))) is not None:
            raise DataError(
                f"{printable(same)} of split {found} and {printable(path)} of split {split} are "
                "one file, through a link"
            )


def _readable(rows: Sequence[_Row], root: Path, left_out: LeftOut) -> list[_Row]:
    kept: dict[str, _Row] = {}
    for row in rows:
        shown = os.path.relpath(row[0], root)
        if row[0] in kept:
            left_out.add("listed again", shown)
        elif (fault := image_fault(row[0])) == LFS_CAUSE:
            raise DataError(f"{printable(row[0])}: {LFS_CAUSE}")
        elif fault is not None:
            left_out.add(fault, shown)
        else:
            kept[row[0]] = row
    return list(kept.values())
