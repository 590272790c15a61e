"""Rows from columnar tables, be they Parquet files or a `datasets.Dataset`."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentsmooth.errors import DataError
from latentsmooth.images.classes import MAX_CLASSES, ClassMapping, PartNames
from latentsmooth.images.rows import LONGEST_RECORD, Payload, checked_labels
from latentsmooth.images.walk import printable

__all__ = ["MAX_CLASSES", "MAX_ROWS", "TableRows", "features_of", "names_of_labels"]

MAX_ROWS = 2**24
_IMAGE_NAMES = ("image", "img", "images", "picture", "png", "jpg", "jpeg", "webp")
_LABEL_NAMES = ("label", "labels", "fine_label", "target", "class", "cls", "y")
_BINARY = ("binary", "large_binary", "binary_view")
_TEXT = ("string", "large_string", "string_view")


class TableRows:
    """Rows of an Arrow table with an image column and, as a rule, a label column.

    The image column holds ``struct<bytes, path>`` or plain binary; the label column integers
    (named by ``ClassLabel`` metadata, else by their own numerals) or strings (classes in sorted
    order).

    Args:
        column: maps a column's name to its Arrow data.
        types: Arrow type by column name.
        features: the ``huggingface`` feature descriptions, ``{}`` where there are none.
        parts: (name, rows) of each file the table was put together from, in order.
        digest: gives the fingerprint.

    Raises:
        DataError: no image column, no usable label column, no rows, too many, or a label out of
            range.
    """

    def __init__(
        self,
        column: Callable[[str], Any],
        *,
        types: dict[str, Any],
        features: dict[str, Any],
        parts: Sequence[tuple[str, int]],
        digest: Callable[[], str],
    ) -> None:
        self._parts = tuple(name for name, _ in parts)
        self._ends = tuple(accumulate(count for _, count in parts))
        self._digest = digest
        where = ", ".join(self._parts[:3])
        if not self._ends or self._ends[-1] == 0:
            raise DataError(f"{where}: no rows")
        if self._ends[-1] > MAX_ROWS:
            raise DataError(f"{where}: {self._ends[-1]:,} rows; at most {MAX_ROWS:,} are read")
        image = _image_column(types, features, where)
        self._images = column(image)
        fields = _field_names(types[image])
        self._in_struct = bool(fields)
        self._has_paths = fields.count("path") == 1 and _is(types[image].field("path").type, _TEXT)
        label = _label_column(types, features, where)
        self.labels = np.full(len(self), -1, dtype=np.int64)
        self.names = PartNames(where, (), "none")
        self.class_names: tuple[str, ...] = ()
        if label is not None:
            names = _declared_names(features, label)
            _check_label_type(types[label], label, where)
            values_of_column = column(label)
            found, values = _labels(values_of_column, names, label, where)
            self.labels = checked_labels(values, found, self)
            self.names = PartNames(where, found, _kind_of_names(names, values_of_column))
            self.class_names = found

    def rename(self, names: tuple[str, ...]) -> None:
        """Count labels by the class names of a whole set, of which this is a part."""
        if self.names.kind in ("declared", "texts") and names != self.names.names:
            order = {name: label for label, name in enumerate(names)}
            places = np.array([order[name] for name in self.names.names], dtype=np.int64)
            self.labels = ClassMapping(places).apply(self.labels)
        self.class_names = names

    def __len__(self) -> int:
        return self._ends[-1]

    def name(self, row: int) -> str:
        """File and row within it, with the image's own path where the table has one."""
        return self._named(row, self._parts[self._part_of(row)])

    def record_name(self, row: int) -> str:
        """The same without the folders that the file lies in."""
        part = self._parts[self._part_of(row)]
        short = part if part.startswith("hub:") else os.path.basename(part)  # noqa: PTH119
        return printable(self._named(row, short), most=LONGEST_RECORD)

    def _part_of(self, row: int) -> int:
        return bisect_right(self._ends, row)

    def _named(self, row: int, place: str) -> str:
        part = self._part_of(row)
        start = self._ends[part - 1] if part else 0
        path = None
        if self._has_paths:
            try:
                path = self._field(row, "path")
            except ValueError:  # not UTF-8
                path = "path unreadable"
        return f"{place} row {row - start}" + (f" ({path[:200]})" if path else "")

    def read(self, row: int) -> Payload:
        """Bytes of the encoded image, from the table or from the file it names."""
        try:
            value = self._field(row, "bytes") if self._in_struct else self._images[row].as_py()
        except ValueError as error:
            raise DataError(f"{self.name(row)}: the row cannot be read: {error}") from error
        if value is None and self._has_paths and self._field(row, "path"):
            raise DataError(
                f"{self.name(row)}: a path without the image's bytes; expected tables that "
                "hold their images, so that their hash covers what is certified"
            )
        if not isinstance(value, bytes):
            raise DataError(f"{self.name(row)}: the image is null; expected encoded image bytes")
        return value

    def _field(self, row: int, name: str) -> Any:
        """One field of a row's struct; the others stay in Arrow's memory, however much they are."""
        value = self._images[row]
        return value[name].as_py() if value.is_valid else None

    def fingerprint(self) -> str:
        """Digest that the source gives: of files, sha256 over their bytes one after another."""
        return self._digest()


def names_of_labels(
    column: Callable[[str], Any],
    *,
    types: dict[str, Any],
    features: dict[str, Any],
    part: str,
) -> PartNames:
    """The classes of a part of a set, found without reading its images.

    Labels themselves are read only where no names are declared. A part without a label column,
    as test sets often are, knows of none.

    Raises:
        DataError: the label column cannot be read.
    """
    try:
        label = _label_column(types, features, part)
    except DataError:
        label = None
    if label is None:
        return PartNames(part, (), "none")
    declared = _declared_names(features, label)
    if declared is not None:
        return PartNames(part, declared, "declared")
    _check_label_type(types[label], label, part)
    values = column(label)
    return PartNames(part, _labels(values, None, label, part)[0], _kind_of_names(None, values))


def _kind_of_names(
    declared: tuple[str, ...] | None, column: Any
) -> Literal["declared", "texts", "numbers"]:
    if declared is not None:
        return "declared"
    return "texts" if _is(column.type, _TEXT) else "numbers"


def _field_names(kind: Any) -> list[str]:
    """Names of the fields of a struct, of anything else none."""
    if not str(kind).startswith("struct<"):
        return []
    return [kind.field(place).name for place in range(kind.num_fields)]


def _is(kind: Any, names: Sequence[str]) -> bool:
    """Whether an Arrow type is one of these, or a dictionary of one."""
    return str(kind).removeprefix("dictionary<values=").partition(",")[0] in names


def _listing(types: dict[str, Any]) -> str:
    shown = [f"{name[:80]} ({str(kind)[:40]})" for name, kind in types.items()]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")


def _image_column(types: dict[str, Any], features: dict[str, Any], where: str) -> str:
    def holds_images(name: str) -> bool:
        kind = types[name]
        fields = _field_names(kind)
        if fields:
            return fields.count("bytes") == 1 and _is(kind.field("bytes").type, _BINARY)
        return _is(kind, _BINARY)

    declared = [n for n in types if _kind(features, n) == "Image" and holds_images(n)]
    known = [name for name in _IMAGE_NAMES if name in types and holds_images(name)]
    binary = [name for name in types if holds_images(name)]
    for names in ([n for n in known if n in declared], declared, known, binary):
        if len(names) == 1 or (names and names[0] in _IMAGE_NAMES):
            return names[0]
    raise DataError(
        f"{where}: no image column; columns are {_listing(types)}; expected one of encoded images "
        f"(struct<bytes, path> or binary), best named one of {', '.join(_IMAGE_NAMES)}"
    )


def _label_column(types: dict[str, Any], features: dict[str, Any], where: str) -> str | None:
    known = [name for name in _LABEL_NAMES if name in types]
    declared = [name for name in types if _kind(features, name) == "ClassLabel"]
    for names in ([name for name in known if name in declared], known[:1], declared):
        if names and (names[0] in _LABEL_NAMES or len(names) == 1):
            return names[0]
    image = _image_column(types, features, where)
    others = [
        name
        for name, kind in types.items()
        if name != image and str(kind) not in ("null",) and not name.startswith("__")
    ]
    if not others:
        return None
    raise DataError(
        f"{where}: no label column; columns are {_listing(types)}; expected one named one of "
        f"{', '.join(_LABEL_NAMES)}, or images alone"
    )


def _kind(features: dict[str, Any], name: str) -> str | None:
    feature = features.get(name)
    return feature.get("_type") if isinstance(feature, dict) else None


def _declared_names(features: dict[str, Any], name: str) -> tuple[str, ...] | None:
    if _kind(features, name) != "ClassLabel":
        return None
    names = features[name].get("names")
    if not names:
        return None
    if not isinstance(names, list) or not all(isinstance(entry, str) for entry in names):
        raise DataError(f"column {name}: its class names are not a list of texts")
    return tuple(names)


def _check_label_type(kind: Any, label: str, where: str) -> None:
    """Refuse a column before it is read: a list of labels a row would have no end."""
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_integer(plain) or pa.types.is_null(plain) or str(plain) in _TEXT):
        raise DataError(
            f"{where}: column {label[:80]} is {str(kind)[:80]}; expected integer or string labels"
        )


def _labels(
    column: Any, names: tuple[str, ...] | None, label: str, where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and (rows,) labels of a label column, unchecked."""
    kind = column.type
    try:
        if str(getattr(kind, "value_type", kind)) in _TEXT:
            return _of_texts(column, names, where)
        values, known = _integers(column)
    except (ValueError, ArithmeticError, LookupError) as error:  # not UTF-8
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: column {label} cannot be read: {error}") from error
    if names is None:
        largest = int(values[known].max()) if known.any() else -1
        if largest >= MAX_CLASSES:
            raise DataError(
                f"{where}: label {largest} in column {label}; without class names labels are "
                f"numbers from 0, and at most {MAX_CLASSES:,} classes are read"
            )
        names = tuple(map(str, range(largest + 1)))
    # Unsigned numbers beyond 63 bits are out of range whatever they are.
    numbers = np.minimum(values, values.dtype.type(min(2**63 - 1, np.iinfo(values.dtype).max)))
    return names, np.where(known, numbers.astype(np.int64), -1)


def _of_texts(
    column: Any, names: tuple[str, ...] | None, where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and labels of strings, each one made a Python text once, not for each row."""
    found: list[tuple[list[str | None], NDArray[np.intp]]] = []
    for chunk in column.chunks:
        packed = chunk if hasattr(chunk, "dictionary") else chunk.dictionary_encode()
        indices, known = _integers(packed.indices)
        # Only those that rows have: a dictionary may hold any number besides.
        used, places = np.unique(np.where(known, indices, -1), return_inverse=True)
        texts = packed.dictionary.take(_arrow(used[used >= 0])).to_pylist()
        found.append(([None] * int((used < 0).any()) + texts, places))
    present = {text for texts, _ in found for text in texts if text is not None}
    names = tuple(sorted(present)) if names is None else names
    order = {name: place for place, name in enumerate(names)}
    if missing := present - order.keys():
        raise DataError(
            f"{where}: label {min(missing)[:80]!r} is not one of the {len(names)} classes"
        )
    labels = [
        np.array([-1 if text is None else order[text] for text in texts], dtype=np.int64)[places]
        for texts, places in found
    ]
    return names, np.concatenate([np.zeros(0, dtype=np.int64), *labels])


def _integers(column: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values of an Arrow column of integers, 0 where there is none, and where there is one."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.int64), np.zeros(len(column), dtype=np.bool_)
    known = ~np.asarray(column.is_null(), dtype=np.bool_)
    return np.asarray(column.fill_null(0)), known


def _arrow(places: NDArray[Any]) -> Any:
    import pyarrow as pa

    return pa.array(places)


def features_of(schema: Any) -> dict[str, Any]:
    """Feature descriptions that `datasets` left in an Arrow schema, ``{}`` where it did not."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])["info"]
        return dict(info["features"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
