"""What a folder's tree means: which folders are splits, which are classes, which are neither."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from latentsmooth.errors import DataError
from latentsmooth.images.class_parts import fault_of_splits
from latentsmooth.images.layout_checks import (
    PARTS,
    check_groups,
    check_inside,
    check_kinds,
    check_once,
    check_pairs,
    class_name,
    listed,
    refuse,
)
from latentsmooth.images.splits import UNDIVIDED, exact_split, split_frame, splits_in_name
from latentsmooth.images.walk import Folder, printable

__all__ = ["WRAPPERS", "Layout", "SplitFolder", "read_layout"]

WRAPPERS = frozenset(
    (
        *("images", "image", "imgs", "img", "jpegimages", "jpg", "jpeg", "png", "pictures"),
        *("photos", "data", "dataset", "files", "all", "default", "raw", "original"),
    )
)
"""Names of folders that hold a set and are no class of it, where they stand alone."""
_NO_CLASSES = frozenset(
    (
        *("extra", "unlabeled", "unlabelled", "pred", "predict", "prediction", "inference"),
        *("sample", "samples", "sample_images", "holdout", "hold_out", "trainval", "train_val"),
        *("unsup", "unsupervised", "misc", "other", "others", "demo"),
    )
)
"""Names that beside one of a split speak of no class."""


@dataclass(frozen=True, slots=True)
class SplitFolder:
    """Where one split's images lie.

    Attributes:
        top: the folder that stands for the split, or, of all splits, that they lie in.
        place: the folder that classes or images lie directly in, the same or one inside it.
        folders: those that hold all of the split, and of no other.
        classes: the folders of each class; none where images lie in ``place`` without labels.
    """

    top: Folder
    place: Folder
    folders: Sequence[Folder]
    classes: Mapping[str, Sequence[Folder]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tree was understood.

    Attributes:
        splits: by canonical name; one called "all" where nothing is named after a split.
        above: the folders from the root to the one that splits, classes or images lie in.
        beside: folders with images that belong to no split or class.
        empty: folders without images beside splits or classes.
    """

    splits: dict[str, SplitFolder]
    above: list[Folder]
    beside: list[Folder] = field(default_factory=list)
    empty: list[Folder] = field(default_factory=list)

    @property
    def divided(self) -> bool:
        """Whether folders are named after splits."""
        return UNDIVIDED not in self.splits


def read_layout(tree: Folder, *, strict: bool = True) -> Layout:
    """Understand a tree of images.

    Understood are ``SPLIT/CLASS/…``, ``CLASS/SPLIT/IMAGE``, ``CLASS/…``, ``SPLIT/IMAGE`` and
    plain images, each also inside folders that hold nothing else (``pets/images/…``). Split
    folders are told by their names, in any case and spelling, see `splits.exact_split`; names such
    as ``seg_train`` count where they come in pairs or hold class folders.

    Args:
        tree: of the set.
        strict: whether folders must tell the classes; where tables do, images may lie beside
            folders of others.

    Raises:
        DataError: it could be read in several ways, or in none; names what was seen.
    """
    above, masks = [tree], []
    while True:
        folder = above[-1]
        empty = [each for each in folder.folders.values() if not each.holds_images]
        found = _split_level(folder, strict)
        if found is not None:
            splits, beside = found
            break
        inner = _wrapped(folder)
        if inner is None:
            splits, beside = _undivided(folder, strict), []
            break
        above.append(inner)
        masks += [each for each in folder.image_folders if each is not inner]
    classes = {split: part.classes for split, part in splits.items()}
    if strict and (fault := fault_of_splits(classes)):
        refuse(folder, fault)
    for split, part in splits.items():
        inside = [each for folders in part.classes.values() for each in folders]
        check_inside(inside, split)
    return Layout(splits, above, [*masks, *beside], empty)


def _wrapped(folder: Folder) -> Folder | None:
    """The folder to read in place of one that holds nothing but it, or masks of its images."""
    inside = [each for each in folder.image_folders if each.name.lower() not in PARTS - WRAPPERS]
    if len(inside) != 1 or folder.first_image is not None:
        return None
    only = inside[0]
    if len(folder.image_folders) > 1 and only.name.lower() not in WRAPPERS:
        return None
    below = only.image_folders
    deeper = len(below) > 1 or (len(below) == 1 and not _keeps_images(only, below[0]))
    again = only.name.lower() == folder.name.lower()
    return only if again or only.name.lower() in WRAPPERS or deeper else None


def _keeps_images(outer: Folder, folder: Folder) -> bool:
    """Whether a lone sub-folder is where a class keeps its images, as in ``n01443537/images``."""
    again = folder.name.lower() == outer.name.lower()
    return not again and exact_split(folder.name) is None and not folder.image_folders


def _split_level(
    folder: Folder, strict: bool
) -> tuple[dict[str, SplitFolder], list[Folder]] | None:
    """The splits whose folders lie in this one, and the folders beside them; ``None`` if none."""
    inside = folder.image_folders
    if len(inside) == 1 and len(set(map(exact_split, inside[0].folders)) - {None}) > 1:
        return None  # a set that happens to be called "test"
    named = {each.name: split for each in inside if (split := exact_split(each.name))}
    compound = {
        each.name: next(iter(words))
        for each in inside
        if each.name not in named
        and len(words := splits_in_name(each.name)) == 1
        and not words & set(named.values())
    }
    with_classes = any(
        _innermost(each).image_folders for each in inside if each.name in {**named, **compound}
    )
    if compound and (with_classes or _are_alike(compound) or named):
        named |= compound
    if not named:
        return None
    beside = [each for each in inside if each.name not in named]
    several = len(set(named.values())) > 1
    if beside and not with_classes and not several and not _speak_of_no_class(beside):
        return None  # a class that happens to be called "train"
    if beside and not (with_classes and several):
        refuse(folder, f"{listed(named)} could be splits or classes beside {listed(beside)}")
    check_once(folder, named)
    if folder.first_image is not None and not with_classes:
        refuse(folder, f"images such as {folder.first_image} lie beside {listed(named)}")
    return {
        split: _split_folder(folder.folders[n], split, strict) for n, split in named.items()
    }, beside


def _speak_of_no_class(beside: Iterable[Folder]) -> bool:
    return any(
        each.name.lower() in _NO_CLASSES | PARTS or splits_in_name(each.name) for each in beside
    )


def _are_alike(compound: Mapping[str, str]) -> bool:
    """Whether names differ in the split alone: ``seg_train`` and ``seg_test`` do.

    Names such as "train station" and "test tube" are classes.
    """
    return len(set(compound.values())) > 1 and len(set(map(split_frame, compound))) == 1


def _split_folder(folder: Folder, split: str, strict: bool) -> SplitFolder:
    place = _innermost(folder)
    for each in place.image_folders:
        if exact_split(each.name) not in (None, split):
            refuse(folder, f"{each.inside} is called after another split than {folder.name}")
    return SplitFolder(folder, place, [folder], _classes(place, strict))


def _innermost(folder: Folder) -> Folder:
    """The folder to read in place of a split's that holds nothing but it.

    Only by name: a split may hold one class alone.
    """
    inside = folder.image_folders
    if len(inside) != 1 or folder.first_image is not None:
        return folder
    name = inside[0].name
    split = exact_split(name)
    again = name.lower() == folder.name.lower() or (
        split and splits_in_name(folder.name) == {split}
    )
    return _innermost(inside[0]) if again or name.lower() in WRAPPERS else folder


def _undivided(folder: Folder, strict: bool) -> dict[str, SplitFolder]:
    """The classes of a folder without splits, or the splits that lie within its classes."""
    inside = folder.image_folders
    parts = [_splits_within(one) for one in inside]
    if not any(parts):
        return {UNDIVIDED: SplitFolder(folder, folder, [folder], _classes(folder, strict))}
    check_kinds(folder, inside)
    if folder.first_image is not None:
        refuse(folder, f"images such as {folder.first_image} lie beside {listed(inside)}")
    for one, named in zip(inside, parts, strict=True):
        if len(named) < len(one.image_folders) or one.first_image is not None:
            refuse(folder, f"{one.name} holds more than split folders, others have these")
        check_once(one, named)
    splits: dict[str, dict[str, list[Folder]]] = {}
    for one, named in zip(inside, parts, strict=True):
        for name, split in named.items():
            place = _innermost(one.folders[name])
            if place.image_folders:
                refuse(
                    folder,
                    f"{place.inside} holds the folders {listed(place.image_folders)}, so "
                    f"{listed(inside)} could be sets or classes",
                )
            splits.setdefault(split, {}).setdefault(class_name(one), []).append(one.folders[name])
    return {
        split: SplitFolder(folder, folder, [f for each in classes.values() for f in each], classes)
        for split, classes in splits.items()
    }


def _splits_within(one: Folder) -> dict[str, str]:
    """Splits by the name of a class's sub-folder, none where these have no such names."""
    below = one.image_folders
    exact = {each.name: split for each in below if (split := exact_split(each.name))}
    words = {each.name: found for each in below if len(found := splits_in_name(each.name)) == 1}
    compound = {name: next(iter(found)) for name, found in words.items()}
    return exact | compound if exact or _are_alike(compound) else {}


def _classes(place: Folder, strict: bool) -> dict[str, list[Folder]]:
    """The class folders directly in one, none where images lie there without labels."""
    inside = place.image_folders
    if not inside:
        return {}
    if place.first_image is not None and not strict:
        return {}
    if place.first_image is not None:
        raise DataError(
            f"{printable(place.join(place.first_image))} lies beside the class folders of "
            f"{printable(place.path)}; expected every image inside one"
        )
    check_kinds(place, inside)
    check_groups(place, inside)
    check_pairs(place, (each.name for each in inside))
    classes: dict[str, list[Folder]] = {}
    for each in inside:
        classes.setdefault(class_name(each), []).append(each)
    return classes
