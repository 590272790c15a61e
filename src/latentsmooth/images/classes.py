"""Classes matched by name: of the parts of a set, and of a set and a classifier."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images.walk import printable

__all__ = [
    "ClassMapping",
    "PartNames",
    "UnknownClasses",
    "are_numbered",
    "match_classes",
    "merge_names",
    "number_labels",
]

MAX_CLASSES = 1_000_000
UnknownClasses = Literal["refuse", "unlabelled"]
"""What becomes of images whose class a classifier does not know."""


@dataclass(frozen=True, slots=True)
class ClassMapping:
    """The classifier's label for each label of a set.

    Attributes:
        labels: (classes of the set,) int64; -1 for a class the classifier does not know.
        notes: what the user should know of it.
    """

    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def apply(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """A set's labels as the classifier counts them; -1, not known, stays."""
        if not len(self.labels):
            return labels
        return np.where(labels < 0, -1, self.labels[np.maximum(labels, 0)])


@dataclass(frozen=True, slots=True)
class PartNames:
    """The classes that one part of a set, a file or a split, knows of.

    Attributes:
        part: what messages call it.
        names: of its classes; numerals where labels are numbers without names.
        kind: how it has them: declared beside the labels, as texts for labels, as plain numbers,
            or not at all.
    """

    part: str
    names: tuple[str, ...]
    kind: Literal["declared", "texts", "numbers", "none"]


def merge_names(parts: Sequence[PartNames]) -> tuple[str, ...]:
    """Class names of a whole set: the same, and in one order, whichever part is asked for.

    Texts are sorted; declared names keep the order of the first part, and others come after; of
    numbers the largest decides.

    Raises:
        DataError: one part has texts for labels and another numbers without names, or numbers
            beyond the names that others declare.

    >>> merge_names([PartNames("a", ("dog", "cat"), "declared"),
    ...              PartNames("b", ("cat", "emu"), "declared")])
    ('dog', 'cat', 'emu')
    """
    of_kind = {
        kind: [each for each in parts if each.kind == kind]
        for kind in ("declared", "texts", "numbers")
    }
    numbers = max(of_kind["numbers"], key=lambda each: len(each.names), default=None)
    if not of_kind["declared"] and not of_kind["texts"]:
        return numbers.names if numbers is not None else ()
    names = dict.fromkeys(name for each in of_kind["declared"] for name in each.names)
    if numbers is not None:
        _check_order(of_kind["declared"], numbers)
    names |= dict.fromkeys(sorted({name for each in of_kind["texts"] for name in each.names}))
    if numbers is not None and (of_kind["texts"] or len(numbers.names) > len(names)):
        other = (of_kind["texts"] or of_kind["declared"])[0]
        raise DataError(
            f"{numbers.part} has numbers without names for labels, up to {len(numbers.names) - 1}; "
            f"{other.part} has {len(names)} names such as {printable(next(iter(names)))!r}; "
            "expected the same kind of labels in all parts of a set"
        )
    return tuple(names)


def _check_order(declared: Sequence[PartNames], numbers: PartNames) -> None:
    """Refuse numbers that stand for one class or another, by the part whose names are taken."""
    for each in declared[1:]:
        if each.names != declared[0].names and numbers.names:
            raise DataError(
                f"{numbers.part} has numbers without names for labels; {declared[0].part} and "
                f"{each.part} have names for them in different orders"
            )


def are_numbered(names: Sequence[str]) -> bool:
    """Whether class names are no more than the labels themselves.

    >>> are_numbered(["0", "1", "2"]), are_numbered(["1", "2"]), are_numbered([])
    (True, False, False)
    """
    return bool(names) and all(name == str(place) for place, name in enumerate(names))


def number_labels(texts: Iterable[str | None]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names and label by text, for labels that are whole numbers written as text.

    They count as numbers, not as names: ``"2"`` is label 2 wherever it stands, and so is ``"02"``.

    Raises:
        DataError: a number that no set has as many classes as.
    """
    values: dict[str, int] = {}
    for text in texts:
        if text is not None and text not in values:
            if len(text.lstrip("0")) > 6:
                raise DataError(
                    f"label {printable(text, most=20)}; without class names labels are numbers "
                    f"from 0, and at most {MAX_CLASSES:,} classes are read"
                )
            values[text] = int(text)
    return tuple(map(str, range(max(values.values(), default=-1) + 1))), values


def match_classes(
    theirs: Sequence[str],
    ours: Sequence[str],
    *,
    named: bool,
    present: NDArray[np.int64],
    source: str,
    unknown: UnknownClasses = "refuse",
) -> ClassMapping:
    """Match the classes of a set with those of a classifier.

    By name; only where one side has numbers for names does the place decide, and a note says so:
    labels without names stand for the classifier's classes in their order, and a classifier with
    numbers for names takes a set of as many classes.

    Args:
        theirs: class names of the set, by label.
        ours: class names of the classifier.
        named: whether the set's names were given, rather than made from its labels.
        present: (images,) the set's labels; a class without images need not be known.
        source: the set, for messages.
        unknown: whether images of a class that the classifier does not know are refused, or
            count as unlabelled.

    Raises:
        ConfigurationError: an unknown class, or no class in common.

    >>> match_classes(["dog", "cat"], ["cat", "cow", "dog"], named=True,
    ...               present=np.array([0, 1]), source="pets").labels.tolist()
    [2, 0]
    """
    places = np.arange(len(theirs), dtype=np.int64)
    notes: list[str] = []
    labels = _by_name(theirs, ours)
    if not named and not _are_numerals(ours) and not set(theirs) <= set(ours):
        labels = np.where(places < len(ours), places, -1)
        if theirs:
            notes.append(
                "labels have no names: taken for the classifier's classes in their order "
                f"({_in_order(ours)})"
            )
    elif named and are_numbered(ours) and not _are_numerals(theirs):
        if len(theirs) != len(ours):
            raise ConfigurationError(
                f"the classifier's {len(ours)} classes have numbers for names, and {source} has "
                f"{len(theirs)}: {_few(theirs)}; expected as many, to match them by place"
            )
        labels = places
        notes.append(
            "the classifier's classes have numbers for names: those of the data are matched by "
            f"place ({_in_order(theirs)})"
        )
    elif theirs and not (labels >= 0).any():
        raise ConfigurationError(
            f"{source} has classes such as {printable(theirs[0])!r}, the classifier such as "
            f"{printable(ours[0])!r}: none in common"
        )
    notes += _settle_unknown(labels, theirs, ours, present, source, unknown)
    return ClassMapping(labels, tuple(notes))


def _by_name(theirs: Sequence[str], ours: Sequence[str]) -> NDArray[np.int64]:
    """Our label for each of their classes; numerals are one name whatever their zeros."""
    numerals = _are_numerals(theirs) and _are_numerals(ours)
    order: dict[str, int] = {}
    for label, name in enumerate(ours):
        order.setdefault(_form(name, numerals), label)
    exact = {name: label for label, name in enumerate(ours)}
    found = [exact.get(name, order.get(_form(name, numerals), -1)) for name in theirs]
    return np.array(found, dtype=np.int64)


def _form(name: str, numeral: bool) -> str:
    """What two ways of writing one name have in common: in Unicode a letter may be two."""
    return name.lstrip("0") or "0" if numeral else unicodedata.normalize("NFC", name)


def _are_numerals(names: Sequence[str]) -> bool:
    return bool(names) and all(name.isascii() and name.isdigit() for name in names)


def _in_order(names: Sequence[str]) -> str:
    shown = ", ".join(f"{place} {printable(name)}" for place, name in enumerate(names[:3]))
    return shown + (", …" if len(names) > 3 else "")


def _settle_unknown(
    labels: NDArray[np.int64],
    theirs: Sequence[str],
    ours: Sequence[str],
    present: NDArray[np.int64],
    source: str,
    unknown: UnknownClasses,
) -> list[str]:
    counts = np.bincount(present[present >= 0], minlength=len(theirs))
    strange = [label for label in range(len(theirs)) if labels[label] < 0 and counts[label]]
    if not strange:
        return []
    names = [theirs[label] for label in strange]
    images = int(counts[strange].sum())
    if unknown == "unlabelled":
        return [
            f"{images} images of classes that the classifier does not know count as unlabelled: "
            f"{_few(names)}"
        ]
    near = difflib.get_close_matches(names[0], ours, n=1, cutoff=0.6) if len(ours) < 10_000 else []
    raise ConfigurationError(
        f"{source} has {images} images of classes that the classifier does not know: {_few(names)}"
        + (f" (did they mean {printable(near[0])!r}?)" if near else f"; it knows {_few(ours)}")
        + "; unknown classes may count as unlabelled (--unknown-classes unlabelled)"
    )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:4]))
    return shown + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")
