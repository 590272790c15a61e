"""What speaks against an understanding of a folder's tree, and is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NoReturn

from latentsmooth.errors import DataError
from latentsmooth.images.splits import alike_but_for_split, exact_split
from latentsmooth.images.walk import Folder, printable

__all__ = [
    "PARTS",
    "check_groups",
    "check_inside",
    "check_kinds",
    "check_once",
    "check_pairs",
    "class_name",
    "listed",
    "refuse",
]

PARTS = frozenset(
    (
        *("images", "image", "imgs", "img", "jpegimages", "masks", "mask", "labels", "annotations"),
        *("annotation", "segmentation", "segmentations", "segmentationclass", "groundtruth"),
        *("segmentationobject", "thumbnails", "thumbs", "ground_truth", "trimaps", "bboxes"),
    )
)
"""Names that no class has: beside others they tell that folders are no classes here."""


def class_name(folder: Folder) -> str:
    """The class that a folder is called after, in the one form that Unicode has for it."""
    return unicodedata.normalize("NFC", folder.name)


def listed(of: Iterable[Folder] | Iterable[str]) -> str:
    """The first five names."""
    names = [each if isinstance(each, str) else each.name for each in of]
    shown = ", ".join(map(printable, names[:5]))
    return shown + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def refuse(folder: Folder, seen: str) -> NoReturn:
    """Raise :class:`DataError` on what was seen in a folder."""
    raise DataError(
        f"{printable(folder.path)}: the layout is not understood: {seen}. Expected "
        "SPLIT/CLASS/IMAGE or CLASS/IMAGE; give the folder that holds the classes, or a table "
        "(csv:FILE) of paths and labels"
    )


def check_once(folder: Folder, named: Mapping[str, str]) -> None:
    """Refuse two folders for one split."""
    for one, other in combinations(named, 2):
        if named[one] == named[other]:
            refuse(folder, f"{one} and {other} both stand for the {named[one]} split")


def check_pairs(folder: Folder, names: Iterable[str]) -> None:
    """Refuse classes whose names differ in nothing but a split: ``cat_train``, ``cat_test``."""
    pair = alike_but_for_split(names)
    if pair is not None:
        refuse(folder, f"{pair[0]} and {pair[1]} could be splits or classes")


def check_kinds(folder: Folder, inside: Sequence[Folder]) -> None:
    """Refuse classes beside folders of masks or annotations, or called "images".

    A folder called "mask" is a class of faces where no such other folder lies beside it.
    """
    parts = [each.name for each in inside if each.name.lower() in PARTS - {"mask"}]
    if parts and len(inside) > 1:
        refuse(folder, f"{listed(parts)} among {listed(inside)}: these are no classes")


def check_groups(place: Folder, inside: Sequence[Folder]) -> None:
    """Refuse folders that each hold the same folders: parts or splits by names of their own."""
    groups = {each.name: {below.name for below in _first_fork(each)} for each in inside}
    for one, other in combinations([name for name in groups if len(groups[name]) > 1], 2):
        if len(shared := groups[one] & groups[other]) > 1:
            refuse(
                place,
                f"{one} and {other} both hold folders called {listed(sorted(shared))}, so either "
                "may be the classes",
            )


def _first_fork(folder: Folder) -> list[Folder]:
    """The first several folders in it: in ``amazon/images/...`` those in ``images``."""
    while len(below := folder.image_folders) == 1 and folder.first_image is None:
        folder = below[0]
    return below


def check_inside(folders: Iterable[Folder], split: str | None) -> None:
    """Refuse split folders somewhere below class folders, or another split's below one's."""
    for folder in folders:
        below = folder.image_folders
        for each in below:
            if exact_split(each.name) not in (None, split):
                refuse(
                    folder,
                    f"{each.inside} is called after a split, inside what has none or another",
                )
        check_pairs(folder, (each.name for each in below))
        check_inside(below, split)
