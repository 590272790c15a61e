"""What a user may not expect of how a folder of images was understood."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from latentsmooth.images.folder_tables import FolderTables
from latentsmooth.images.layout import WRAPPERS, Layout
from latentsmooth.images.splits import UNDIVIDED, exact_split, splits_in_name
from latentsmooth.images.walk import printable, suffix_of

__all__ = ["remarks"]

_TABLES = frozenset((".csv", ".tsv", ".jsonl", ".xlsx"))
_LISTS = frozenset((".txt", ".csv", ".tsv", ".json", ".jsonl", ".lst", ".mat", ".yaml", ".xlsx"))


def remarks(
    labelled: Collection[str],
    names: Sequence[str],
    found: str,
    layout: Layout,
    tables: FolderTables,
) -> list[str]:
    """One line for each.

    Args:
        labelled: the classes that the split's images are of.
        names: of all classes.
        found: the split that was read.
        layout: how the folders were understood.
        tables: the tables that lie in them.
    """
    said = _of_splits(layout, tables) if found == UNDIVIDED else []
    if not labelled:
        whose = "the images" if found == UNDIVIDED else f"the images of split {found}"
        said.append(f"{whose} have no class folders and no table of labels: they are unlabelled")
        if unread := _lists(layout, tables, _TABLES):
            said.append(f"tables are not read: {_few(unread)}; csv:FILE reads paths and labels")
    elif absent := [name for name in names if name not in labelled]:
        said.append(f"no images here of {len(absent)} of {len(names)} classes: {_few(absent)}")
    if len(names) == 1:
        said.append(f"all images are of one class, {printable(names[0])}")
    if not tables.labels:
        said += _of_classes(found, layout)
    return said


def _of_splits(layout: Layout, tables: FolderTables) -> list[str]:
    said = ["there are no split folders: the same images answer to every split"]
    lists = _lists(layout, tables, _LISTS)
    if lists := [name for name in lists if splits_in_name(name.rpartition(".")[0].split("/")[-1])]:
        said.append(
            f"files that may tell splits are not read: {_few(lists)}; csv:FILE reads tables of "
            "paths and labels"
        )
    inside = layout.above[-1].inside
    if inside:
        said.append(f"the images are those in {printable(inside)}")
    return said


def _lists(layout: Layout, tables: FolderTables, suffixes: Collection[str]) -> list[str]:
    """Files of some kinds that were not read."""
    return [
        owner.shown(name)
        for owner, name in layout.above[0].all_files()
        if suffix_of(name) in suffixes and owner.join(name) not in tables.files
    ]


def _of_classes(found: str, layout: Layout) -> list[str]:
    """Of classes that are class folders."""
    said = []
    classes = layout.splits[found if layout.divided else UNDIVIDED].classes
    trained = layout.splits["train"].classes if "train" in layout.splits else {}
    if trained and (new := sorted(classes.keys() - trained.keys())):
        said.append(f"training has no images of {len(new)} classes of this split: {_few(new)}")
    if like := [name for name in classes if exact_split(name)]:
        said.append(f"{_few(like)}: taken for a class beside others, not for a split")
    nested = [
        below.inside
        for folders in classes.values()
        for folder in folders
        for below in folder.image_folders
        if len(folder.image_folders) > 1 or below.name.lower() not in WRAPPERS
    ]
    if nested:
        said.append(f"folders inside class folders count to the outer class: {_few(nested)}")
    return said


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:4]))
    return shown + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")
