"""Sets of Parquet files: which of them hold which split, and the classes of them all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from latentsmooth.errors import DataError
from latentsmooth.images.class_parts import check_splits
from latentsmooth.images.classes import merge_names
from latentsmooth.images.parquet import parquet_names, parquet_rows
from latentsmooth.images.rows import FoundImages
from latentsmooth.images.splits import (
    SPLITS,
    UNDIVIDED,
    alike_but_for_split,
    check_split,
    choose_split,
    exact_split,
    split_in_name,
    splits_in_name,
)
from latentsmooth.images.walk import printable

__all__ = ["files_by_split", "parquet_images"]

_NAMED = ("declared", "texts")
_LABEL_FOLDER = re.compile("(fine_)?(label|class|target|category|cls|y|species)(_name)?=", re.I)


def parquet_images(
    paths: Sequence[Path], split: str, *, root: Path | None = None, notes: Iterable[str] = ()
) -> FoundImages:
    """One split of a set of Parquet files; class names are those of all of them.

    Args:
        paths: the files.
        split: the split asked for.
        root: the folder they were found in; ``None`` for files that the user named.
        notes: what is to be said of the set already.

    Raises:
        ConfigurationError: unknown split, or one that no file holds.
        DataError: no files, or they cannot be read, or told into splits, or differ.
    """
    check_split(split)
    by_split = files_by_split(paths, root)
    where = str(root) if root is not None else ", ".join(path.name for path in paths[:4])
    chosen = UNDIVIDED
    if UNDIVIDED not in by_split:
        chosen = choose_split(split, sorted(by_split), where=where)
    rows = parquet_rows(by_split[chosen])
    # In one order whichever split is asked for: training before test before validation.
    told = [
        (each, names)
        for each in sorted(by_split, key=_place)
        for names in ([rows.names] if each == chosen else map(parquet_names, by_split[each]))
    ]
    parts = [names for _, names in told]
    names = merge_names(parts)
    check_splits(((each, part.names) for each, part in told if part.kind in _NAMED), where=where)
    rows.rename(names)
    named = any(part.kind in _NAMED for part in parts)
    said = [*notes]
    if chosen == UNDIVIDED:
        said.append("no file is named after a split: the same images answer to every split")
    if not (rows.labels >= 0).any():
        said.append(f"the images of split {chosen} are unlabelled")
    return FoundImages(rows, chosen, names, named, tuple(said))


def _place(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def files_by_split(paths: Sequence[Path], root: Path | None) -> dict[str, list[Path]]:
    """The files of each split, told by their names or by the folders that they lie in.

    All under "all" where none is named after a split. A file's own name goes first where it
    names a split, then the folders below ``root``; of files that the user named, the folders
    below the one they have in common, or else the folder that all lie in.

    Raises:
        DataError: no files; only some are named after a split; a name stands for two; files of
            one split lie in several folders as if they were several sets.
    """
    if not paths:
        raise DataError("no Parquet files were given; expected at least one")
    folders = _folders(paths, root)
    told = [_told(path, parts) for path, parts in zip(paths, folders, strict=True)]
    splits = [split for split, _ in told]
    if not any(splits):
        if root is not None:
            _check_names(paths, root)
        _check_pairs(paths, root)
        return {UNDIVIDED: list(paths)}
    if None in splits:
        without = paths[splits.index(None)]
        having = next(path for path, split in zip(paths, splits, strict=True) if split)
        raise DataError(
            f"{printable(str(without))}: its name has no split (train, test, ...), while "
            f"{printable(str(having))} has one"
        )
    sets = sorted({above for _, above in told})
    if len(sets) > 1:
        raise DataError(
            f"{printable(str(root or paths[0].parent))}: several sets, in the folders "
            f"{', '.join('/'.join(above) or '.' for above in sets[:5])}; give one of them"
        )
    found: dict[str, list[Path]] = {}
    for path, split in zip(paths, splits, strict=True):
        found.setdefault(split or "", []).append(path)
    return found


def _folders(paths: Sequence[Path], root: Path | None) -> list[tuple[str, ...]]:
    """The folders of each file that may speak of its split."""
    if root is not None:
        return [path.parent.relative_to(root).parts for path in paths]
    if any(splits_in_name(path.stem) for path in paths):
        return [()] * len(paths)
    parents = [path.absolute().parent for path in paths]
    common = Path(os.path.commonpath(parents))
    if all(parent == common for parent in parents):
        return [(common.name,) if exact_split(common.name) else ()] * len(paths)
    return [parent.relative_to(common).parts for parent in parents]


def _told(path: Path, folders: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """A file's split, and the folders above the one that tells it."""
    if column := next((name for name in folders if _LABEL_FOLDER.match(name)), None):
        raise DataError(
            f"{printable(str(path))}: labels stand in the names of folders ({printable(column)}); "
            "expected a column of labels in the files"
        )
    own = split_in_name(path.stem)
    exact = [place for place, name in enumerate(folders) if exact_split(name)]
    loose = [place for place, name in enumerate(folders) if len(splits_in_name(name)) == 1]
    places = exact or (loose if own is None else [])
    named = {exact_split(folders[place]) or min(splits_in_name(folders[place])) for place in places}
    named |= {own} if own is not None else set()
    if len(named) > 1:
        raise DataError(
            f"{printable(str(path))}: its name and its folders speak of several splits: "
            f"{', '.join(sorted(named))}"
        )
    if not named:
        return None, ()
    return named.pop(), tuple(folders[: places[0]] if places else folders)


def _check_pairs(paths: Sequence[Path], root: Path | None) -> None:
    """Refuse files or folders that differ in nothing but a split: ``mnisttrain``, ``mnisttest``."""
    stems = [str(path.relative_to(root).with_suffix("") if root else path.stem) for path in paths]
    pair = alike_but_for_split(dict.fromkeys(stems))
    if pair is not None:
        raise DataError(
            f"{printable(str(root or paths[0].parent))}: the layout is not understood: "
            f"{printable(pair[0])} and {printable(pair[1])} could be of one split or of two"
        )


def _check_names(paths: Sequence[Path], root: Path) -> None:
    """Refuse folders that each hold files of the same names: parts that no word names."""
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.name, path)
        if other is not path and other.parent != path.parent:
            raise DataError(
                f"{printable(str(root))}: the layout is not understood: "
                f"{printable(other.relative_to(root).as_posix())} and "
                f"{printable(path.relative_to(root).as_posix())} could be of one split or of two; "
                "expected folders or files named train, test, ..., or files given one by one "
                "(parquet:FILE,FILE)"
            )
