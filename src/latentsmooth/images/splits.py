"""Names of splits, and which files or folders hold one."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from latentsmooth.errors import ConfigurationError, DataError

__all__ = ["SPLITS", "UNDIVIDED", "choose_files", "choose_split", "split_in_name"]

UNDIVIDED = "all"
"""What the split of a source without splits is called, whichever was asked for."""

SPLITS = ("train", "test", "validation")
_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}
_WORD = re.compile(r"(?:^|[^a-z])(train|test|validation|valid|val|dev)(?=$|[^a-z])")


def canonical(split: str) -> str:
    """One name for the spellings of a split.

    >>> canonical("val"), canonical("train")
    ('validation', 'train')
    """
    return _ALIASES.get(split, split)


def split_in_name(name: str) -> str | None:
    """The split that a file name speaks of, if it speaks of one.

    >>> split_in_name("train-00000-of-00002"), split_in_name("samples-100"), split_in_name("my_val")
    ('train', None, 'validation')

    Raises:
        DataError: the name speaks of several.
    """
    found = {canonical(word) for word in _WORD.findall(name.lower())}
    if len(found) > 1:
        raise DataError(f"file name {name!r} names several splits: {', '.join(sorted(found))}")
    return found.pop() if found else None


def choose_split(wanted: str, available: Collection[str], *, where: str) -> str:
    """The available split that answers to ``wanted``; "test" falls back to "validation".

    Raises:
        ConfigurationError: there is none; lists those there are.

    >>> choose_split("test", ["train", "val"], where="here")
    'val'
    """
    names = {canonical(name): name for name in available}
    for split in (canonical(wanted), *(("validation",) if wanted == "test" else ())):
        if split in names:
            return names[split]
    raise ConfigurationError(f"{where}: no split {wanted!r}; there is {', '.join(available)}")


def check_split(split: str) -> str:
    """The split under its one name, where images carry no split of their own.

    Raises:
        ConfigurationError: unknown split.
    """
    if canonical(split) not in SPLITS:
        raise ConfigurationError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    return canonical(split)


def choose_files(paths: Sequence[Path], split: str) -> tuple[list[Path], str]:
    """The files that hold a split, and which split they hold.

    Where file names contain split names (train, test, validation, val, ...) those decide;
    where none does, all files answer to any split, and the split is called "all".

    Raises:
        ConfigurationError: unknown split, or one that no file holds.
        DataError: no files, or some name a split and some do not.
    """
    check_split(split)
    if not paths:
        raise DataError("no Parquet files were given; expected at least one")
    splits = [split_in_name(path.stem) for path in paths]
    if not any(splits):
        return list(paths), UNDIVIDED
    if None in splits:
        raise DataError(
            f"{paths[splits.index(None)]}: its name has no split (train, test, ...), while "
            f"{next(path for path, found in zip(paths, splits, strict=True) if found)} has one"
        )
    available = sorted({found for found in splits if found})
    chosen = choose_split(split, available, where=", ".join(path.name for path in paths[:4]))
    files = [path for path, found in zip(paths, splits, strict=True) if found == chosen]
    return files, chosen
