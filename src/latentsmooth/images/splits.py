"""Names of splits, and which of them a file, a folder or a user speaks of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from latentsmooth.errors import ConfigurationError, DataError

__all__ = [
    "SPLITS",
    "UNDIVIDED",
    "alike_but_for_split",
    "canonical",
    "check_split",
    "choose_split",
    "exact_split",
    "split_frame",
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
_NOUNS = frozenset(
    (
        *("set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "split"),
        *("folder", "dir", "files", "photos", "pics", "pictures", "samples", "subset"),
    )
)
"""Words that say nothing of what a folder holds."""
_GLUED = {word + noun: split for word, split in _WORDS.items() for noun in ("", *_NOUNS)}
"""Words that stand for a split, also where their noun is written onto them: ``trainset``."""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LETTERS = re.compile(r"[^\W\d_]+")
_PARTITION = re.compile(r"(?:split|subset|partition)=(.*)", re.IGNORECASE | re.DOTALL)
_INSIDE = re.compile("|".join(sorted(_WORDS, key=len, reverse=True)))


def canonical(split: str) -> str:
    """One name for the spellings of a split; a name that is none stays as it is.

    >>> canonical("val"), canonical("Training"), canonical("extra")
    ('validation', 'train', 'extra')
    """
    return _WORDS.get(split.lower(), split)


def exact_split(name: str) -> str | None:
    """The split that a folder stands for, where its name says that and nothing else.

    Digits and punctuation do not count, nor nouns such as "set", nor the key of a partition.

    >>> exact_split("Testing"), exact_split("train2017"), exact_split("split=val")
    ('test', 'train', 'validation')
    >>> exact_split("test_images"), exact_split("train station"), exact_split("cat")
    ('test', None, None)
    """
    partition = _PARTITION.fullmatch(name)
    text = partition[1] if partition else name
    for words in (_LETTERS.findall(text.lower()), _words(text)):
        telling = [word for word in words if word not in _NOUNS]
        if len(telling) == 1 and telling[0] in _GLUED:
            return _GLUED[telling[0]]
    return None


def splits_in_name(name: str) -> set[str]:
    """The splits that any word of a name stands for.

    >>> sorted(splits_in_name("seg_train")), sorted(splits_in_name("trainTestData"))
    (['train'], ['test', 'train'])
    """
    return {_GLUED[word] for word in _words(name) if word in _GLUED}


def _words(name: str) -> list[str]:
    """Words of letters alone, in lower case, also where capitals part them."""
    return _LETTERS.findall(_HUMP.sub("_", name).lower())


def split_frame(name: str) -> tuple[str, ...]:
    """What is left of a name without its split and the nouns: names that share it are pairs.

    >>> split_frame("seg_train") == split_frame("SegTestData"), split_frame("train station")
    (True, ('station',))
    """
    kept = (w for w in re.findall(r"[^\W_]+", _HUMP.sub("_", name).lower()) if w not in _NOUNS)
    return tuple(word for word in kept if not (splits_in_name(word) or word in _GLUED))


def alike_but_for_split(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ in nothing but a split, written wherever: they are no classes.

    >>> alike_but_for_split(["mnisttest", "mnisttrain"]), alike_but_for_split(["trail", "test"])
    (('mnisttest', 'mnisttrain'), None)
    """
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    for name in names:
        lower = name.lower()
        found = [
            (lower[: m.start()] + "*" + lower[m.end() :], m[0]) for m in _INSIDE.finditer(lower)
        ]
        frames: dict[tuple[str, ...], str] = {
            (frame,): _WORDS[word] for frame, word in found if len(frame) > 1
        }
        if len(own := splits_in_name(name)) == 1:
            frames[("", *split_frame(name))] = next(iter(own))
        for frame, split in frames.items():
            other, theirs = seen.setdefault(frame, (name, split))
            if theirs != split:
                return other, name
    return None


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
