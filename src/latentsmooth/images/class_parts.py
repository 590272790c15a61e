"""What the classes of a set's splits, compared, tell of a set that was not understood."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import combinations

from latentsmooth.errors import DataError
from latentsmooth.images.walk import printable

__all__ = ["check_splits", "fault_of_splits"]


def fault_of_splits(splits: Mapping[str, Collection[str]]) -> str | None:
    """Why splits with these classes cannot be of one set; ``None`` where they can.

    A split without a class in common with training, or one class written in two ways.
    """
    return _nothing_common(splits) or _two_spellings(splits)


def check_splits(parts: Iterable[tuple[str, Collection[str]]], *, where: str) -> None:
    """Refuse a table's splits, each in any number of parts, with one class written in two ways.

    Which rows are of which split is told by words there, so that classes in common need not be.

    Raises:
        DataError: names the splits and classes.
    """
    splits: dict[str, set[str]] = {}
    for split, names in parts:
        splits.setdefault(split, set()).update(names)
    fault = _two_spellings({split: sorted(names) for split, names in splits.items()})
    if fault is not None:
        raise DataError(f"{where}: {fault}")


def _nothing_common(splits: Mapping[str, Collection[str]]) -> str | None:
    trained = splits.get("train")
    for name, classes in splits.items():
        if trained and classes and not set(classes) & set(trained):
            return (
                f"{name} has the classes {_few(classes)}, train has {_few(trained)}: no class in "
                "common"
            )
    return None


def _two_spellings(splits: Mapping[str, Collection[str]]) -> str | None:
    """``Cat`` in one split alone and ``cat`` in another; letters may be classes in one split."""
    by_form: dict[str, dict[str, set[str]]] = {}
    for split, classes in splits.items():
        for name in classes:
            form = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
            by_form.setdefault(form, {}).setdefault(name, set()).add(split)
    for spellings in by_form.values():
        for (one, here), (other, there) in combinations(spellings.items(), 2):
            if not here & there:
                return (
                    f"{min(here)} has a class {printable(one)!r}, {min(there)} has "
                    f"{printable(other)!r}: one class or two"
                )
    return None


def _few(names: Collection[str]) -> str:
    shown = ", ".join(map(printable, list(names)[:5]))
    return shown + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
