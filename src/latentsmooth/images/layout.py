"""What a folder's tree means: which folders are splits, which are classes, which are neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NoReturn

from latentsmooth.errors import DataError
from latentsmooth.images.splits import UNDIVIDED, exact_split, splits_in_name
from latentsmooth.images.walk import Folder, printable

__all__ = ["Layout", "SplitFolder", "read_layout"]

_WRAPPERS = frozenset(
    (
        *("images", "image", "imgs", "img", "jpegimages", "jpg", "jpeg", "png", "pictures"),
        *("photos", "data", "dataset", "files", "all", "default", "raw", "original"),
    )
)
"""Names of folders that hold a set and are no class of it, where they stand alone."""
_PARTS = frozenset(
    (
        *("images", "image", "imgs", "img", "jpegimages", "masks", "mask", "labels", "annotations"),
        *("segmentationclass", "segmentationobject", "thumbnails", "thumbs"),
    )
)
"""Names that no class has: beside others they tell that folders are no classes here."""


@dataclass(frozen=True, slots=True)
class SplitFolder:
    """Where one split's images lie.

    Attributes:
        top: the folder that stands for the split.
        place: the folder that classes or images lie directly in, the same or one inside it.
        classes: the folders of each class; none where images lie in ``place`` without labels.
    """

    top: Folder
    place: Folder
    classes: Mapping[str, Sequence[Folder]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tree was understood.

    Attributes:
        splits: by canonical name; one called "all" where nothing is named after a split.
        beside: folders with images that belong to no split.
        empty: folders without images beside splits or classes.
    """

    splits: dict[str, SplitFolder]
    beside: list[Folder] = field(default_factory=list)
    empty: list[Folder] = field(default_factory=list)


def read_layout(tree: Folder, *, strict: bool = True) -> Layout:
    """Understand a tree of images.

    Understood are ``SPLIT/CLASS/…``, ``CLASS/SPLIT/…``, ``CLASS/…``, ``SPLIT/IMAGE`` and plain
    images, each also inside folders that hold nothing else (``pets/images/…``). Split folders
    are told by their names, in any case and spelling, see `splits.exact_split`; names such as
    ``seg_train`` count where they come in pairs or hold class folders.

    Args:
        tree: of the set.
        strict: whether folders must tell the classes; where tables do, they need not.

    Raises:
        DataError: it could be read in several ways, or in none; names what was seen.
    """
    folder = tree
    while True:
        empty = [each for each in folder.folders.values() if not each.holds_images]
        found = _split_level(folder, strict)
        if found is not None:
            return Layout(found[0], found[1], empty)
        inner = _wrapped(folder)
        if inner is None:
            return Layout(_undivided(folder, strict), [], empty)
        folder = inner


def _wrapped(folder: Folder) -> Folder | None:
    """The folder to read in place of one that holds nothing but it."""
    inside = folder.image_folders
    if len(inside) != 1 or folder.first_image is not None:
        return None
    only = inside[0]
    below = only.image_folders
    deeper = len(below) > 1 or (len(below) == 1 and not _is_class_with_images(below[0]))
    return only if only.name.lower() in _WRAPPERS or deeper else None


def _is_class_with_images(folder: Folder) -> bool:
    """Whether a lone sub-folder is where a class keeps its images, as in ``n01443537/images``."""
    return exact_split(folder.name) is None and not folder.image_folders


def _split_level(
    folder: Folder, strict: bool
) -> tuple[dict[str, SplitFolder], list[Folder]] | None:
    """The splits whose folders lie in this one, and the folders beside them; ``None`` if none."""
    inside = folder.image_folders
    named = {each.name: split for each in inside if (split := exact_split(each.name))}
    compound = {
        each.name: next(iter(words))
        for each in inside
        if each.name not in named
        and len(words := splits_in_name(each.name)) == 1
        and not words & set(named.values())
    }
    with_classes = any(
        each.image_folders for each in inside if each.name in named or each.name in compound
    )
    if compound and (with_classes or _are_alike(compound) or named):
        named |= compound
    if not named:
        return None
    beside = [each for each in inside if each.name not in named]
    several = len(set(named.values())) > 1
    if beside and not with_classes and not several:
        return None  # a class that happens to be called "train"
    if beside and not (with_classes and several):
        _refuse(folder, f"{_names(named)} could be splits or classes beside {_names(beside)}")
    _check_once(folder, named)
    if folder.first_image is not None and not with_classes:
        _refuse(folder, f"images such as {folder.first_image} lie beside {_names(named)}")
    splits = {split: _split_folder(folder.folders[name], strict) for name, split in named.items()}
    if strict:
        _check_common(folder, splits)
    return splits, beside


def _are_alike(compound: Mapping[str, str]) -> bool:
    """Whether names differ in the split alone: ``seg_train`` and ``seg_test`` do.

    Names such as "train station" and "test tube" are classes.
    """
    frames = set()
    for name in compound:
        words = [word for word in _words(name) if not splits_in_name(word)]
        frames.add(tuple(words))
    return len(set(compound.values())) > 1 and len(frames) == 1


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()


def _check_once(folder: Folder, named: Mapping[str, str]) -> None:
    for one, other in combinations(named, 2):
        if named[one] == named[other]:
            _refuse(folder, f"{one} and {other} both stand for the {named[one]} split")


def _check_common(folder: Folder, splits: Mapping[str, SplitFolder]) -> None:
    """Refuse splits that share no class: one of them was not understood."""
    trained = splits.get("train")
    if trained is None or not trained.classes:
        return
    for name, part in splits.items():
        if part.classes and not part.classes.keys() & trained.classes.keys():
            _refuse(
                folder,
                f"{name} has the folders {_names(part.classes)}, train has "
                f"{_names(trained.classes)}: no class in common",
            )


def _split_folder(folder: Folder, strict: bool) -> SplitFolder:
    place = folder
    while (inner := _inside_split(place)) is not None:
        place = inner
    return SplitFolder(folder, place, _classes(place, strict))


def _inside_split(folder: Folder) -> Folder | None:
    """The folder to read in place of a split's that holds nothing but it.

    Only by name: a split may hold one class alone.
    """
    inside = folder.image_folders
    if len(inside) != 1 or folder.first_image is not None:
        return None
    name = inside[0].name.lower()
    again = name == folder.name.lower() or exact_split(name) is not None
    return inside[0] if again or name in _WRAPPERS else None


def _undivided(folder: Folder, strict: bool) -> dict[str, SplitFolder]:
    """The classes of a folder without splits, or the splits that lie within its classes."""
    inside = folder.image_folders
    parts = [
        {each.name: split for each in one.image_folders if (split := exact_split(each.name))}
        for one in inside
    ]
    if not any(parts):
        if strict:
            _check_chain(folder)
        return {UNDIVIDED: SplitFolder(folder, folder, _classes(folder, strict))}
    for one, named in zip(inside, parts, strict=True):
        if len(named) < len(one.image_folders) or one.first_image is not None:
            _refuse(folder, f"{one.name} holds more than split folders, others have these")
        _check_once(one, named)
    splits: dict[str, dict[str, list[Folder]]] = {}
    for one, named in zip(inside, parts, strict=True):
        for name, split in named.items():
            splits.setdefault(split, {}).setdefault(one.name, []).append(one.folders[name])
    return {split: SplitFolder(folder, folder, classes) for split, classes in splits.items()}


def _classes(place: Folder, strict: bool) -> dict[str, list[Folder]]:
    """The class folders directly in one, none where images lie there without labels."""
    inside = place.image_folders
    if not inside:
        return {}
    if not strict:
        return {} if place.first_image is not None else {each.name: [each] for each in inside}
    if place.first_image is not None:
        raise DataError(
            f"{printable(place.join(place.first_image))} lies beside the class folders of "
            f"{printable(place.path)}; expected every image inside one"
        )
    parts = [each.name for each in inside if each.name.lower() in _PARTS]
    if parts and len(inside) > 1:
        _refuse(place, f"{_names(parts)} beside {_names(inside)} are no classes")
    _check_groups(place, inside)
    return {each.name: [each] for each in inside}


def _check_chain(folder: Folder) -> None:
    """Refuse folders that each hold nothing but the next: any of them may be the class."""
    chain: list[str] = []
    while len(folder.image_folders) == 1 and folder.first_image is None:
        [folder] = folder.image_folders
        if folder.name.lower() not in _WRAPPERS:
            chain.append(folder.name)
    if len(chain) > 1:
        _refuse(folder, f"of {_names(chain)}, one inside the other, any may be the class")


def _check_groups(place: Folder, inside: Sequence[Folder]) -> None:
    """Refuse folders that each hold the same folders: parts or splits by names of their own."""
    groups = {each.name: {below.name for below in each.image_folders} for each in inside}
    for one, other in combinations([name for name in groups if len(groups[name]) > 1], 2):
        if len(shared := groups[one] & groups[other]) > 1:
            _refuse(
                place,
                f"{one} and {other} both hold folders called {_names(sorted(shared))}, so either "
                "may be the classes",
            )


def _names(of: Sequence[Folder] | Sequence[str] | Mapping[str, object]) -> str:
    names = [each if isinstance(each, str) else each.name for each in of]
    shown = ", ".join(map(printable, names[:5]))
    return shown + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def _refuse(folder: Folder, seen: str) -> NoReturn:
    raise DataError(
        f"{printable(folder.path)}: the layout is not understood: {seen}. Expected "
        "SPLIT/CLASS/IMAGE or CLASS/IMAGE; give the folder that holds the classes, or a table "
        "(csv:FILE) of paths and labels"
    )
