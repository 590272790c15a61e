"""Names of splits, and which of them a file, a folder or a user speaks of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from latentsmooth.errors import ConfigurationError, DataError

__all__ = [
    "SPLITS",
    "UNDIVIDED",
    "canonical",
    "check_split",
    "choose_split",
    "exact_split",
    "split_in_name",
    "splits_in_name",
]

UNDIVIDED = "all"
"""What the split of a source without splits is called, whichever was asked for."""

SPLITS = ("train", "test", "validation")
_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "dev"), "validation"),
}
_ENDINGS = ("", "set", "sets", "data", "dataset", "images", "imgs", "split")
_GLUED = {word + ending: split for word, split in _WORDS.items() for ending in _ENDINGS}
"""Words that stand for a split, also where their noun is written onto them: ``trainset``."""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")
_PARTITION = re.compile(r"(?:split|subset|partition)=(.*)", re.IGNORECASE | re.DOTALL)


def canonical(split: str) -> str:
    """One name for the spellings of a split; a name that is none stays as it is.

    >>> canonical("val"), canonical("Training"), canonical("extra")
    ('validation', 'train', 'extra')
    """
    return _WORDS.get(split.lower(), split)


def exact_split(name: str) -> str | None:
    """The split that a folder stands for, where its name says that and nothing else.

    Digits and punctuation do not count, nor the key of a partition.

    >>> exact_split("Testing"), exact_split("train2017"), exact_split("split=val")
    ('test', 'train', 'validation')
    >>> exact_split("train station"), exact_split("cat")
    (None, None)
    """
    partition = _PARTITION.fullmatch(name)
    words = _LETTERS.findall((partition[1] if partition else name).lower())
    return _GLUED.get(words[0]) if len(words) == 1 else None


def splits_in_name(name: str) -> set[str]:
    """The splits that any word of a name stands for.

    >>> sorted(splits_in_name("seg_train")), sorted(splits_in_name("trainTestData"))
    (['train'], ['test', 'train'])
    """
    words = _LETTERS.findall(_HUMP.sub("_", name).lower())
    return {_GLUED[word] for word in words if word in _GLUED}


def split_in_name(name: str) -> str | None:
    """The split that a file name speaks of, if it speaks of one.

    >>> split_in_name("train-00000-of-00002"), split_in_name("samples-100"), split_in_name("my_val")
    ('train', None, 'validation')

    Raises:
        DataError: the name speaks of several.
    """
    found = splits_in_name(name)
    if len(found) > 1:
        raise DataError(f"file name {name!r} names several splits: {', '.join(sorted(found))}")
    return found.pop() if found else None


def choose_split(wanted: str, available: Collection[str], *, where: str) -> str:
    """The available split that answers to ``wanted``; "test" falls back to "validation".

    A name that is there as it was asked for goes before other spellings of it.

    Raises:
        ConfigurationError: there is none; lists those there are.
        DataError: two names stand for the split.

    >>> choose_split("test", ["train", "val"], where="here")
    'val'
    """
    if wanted in available:
        return wanted
    for split in (canonical(wanted), *(("validation",) if canonical(wanted) == "test" else ())):
        names = [name for name in available if canonical(name) == split]
        if len(names) > 1:
            raise DataError(
                f"{where}: {' and '.join(names)} both stand for the {split} split; ask for one of "
                "them by its own name"
            )
        if names:
            return names[0]
    raise ConfigurationError(f"{where}: no split {wanted!r}; there is {_listed(available)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def check_split(split: str) -> str:
    """The split under its one name, where images carry no split of their own.

    Raises:
        ConfigurationError: unknown split.
    """
    if canonical(split) not in SPLITS:
        raise ConfigurationError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    return canonical(split)
