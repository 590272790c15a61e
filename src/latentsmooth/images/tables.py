"""Rows from columnar tables: Parquet files here, any `datasets.Dataset` through `TableRows`."""

from __future__ import annotations

import hashlib
import io
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentsmooth.errors import DataError
from latentsmooth.images.rows import Payload, checked_labels, file_digest, read_file

__all__ = ["TableRows", "parquet_rows"]

IN_MEMORY_BYTES = 2 * 2**30
_IMAGE_NAMES = ("image", "img", "images", "picture", "png", "jpg", "jpeg", "webp")
_LABEL_NAMES = ("label", "labels", "fine_label", "target", "class", "cls", "y")


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
        DataError: no image column, no usable label column, no rows or a label out of range.
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
        image = _image_column(types, features, where)
        self._images = column(image)
        self._has_paths = "path: " in str(types[image])
        label = _label_column(types, features, where)
        self.labels = np.full(len(self), -1, dtype=np.int64)
        self.class_names: tuple[str, ...] = ()
        if label is not None:
            names = _declared_names(features, label)
            self.class_names, values = _labels(column(label), types[label], names, label, where)
            self.labels = checked_labels(values, self.class_names, self)

    def __len__(self) -> int:
        return self._ends[-1]

    def name(self, row: int) -> str:
        """File and row within it, with the image's own path where the table has one."""
        part = bisect_right(self._ends, row)
        start = self._ends[part - 1] if part else 0
        path = self._images[row]["path"].as_py() if self._has_paths else None
        return f"{self._parts[part]} row {row - start}" + (f" ({path})" if path else "")

    def read(self, row: int) -> Payload:
        """Bytes of the encoded image, from the table or from the file it names."""
        value = self._images[row].as_py()
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                raise DataError(
                    f"{self.name(row)}: a path without the image's bytes; expected tables that "
                    "hold their images, so that their hash covers what is certified"
                )
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise DataError(f"{self.name(row)}: the image is null; expected encoded image bytes")
        return value

    def fingerprint(self) -> str:
        """Digest that the source gives: of files, sha256 over their bytes one after another."""
        return self._digest()


def _listing(types: dict[str, Any]) -> str:
    return ", ".join(f"{name} ({str(kind)[:40]})" for name, kind in types.items())


def _image_column(types: dict[str, Any], features: dict[str, Any], where: str) -> str:
    def holds_images(name: str) -> bool:
        kind = str(types[name])
        return "binary" in kind and (not kind.startswith("struct<") or "bytes: " in kind)

    declared = [name for name in types if _kind(features, name) == "Image"]
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
    return None if not names else tuple(map(str, names))


def _labels(
    column: Any, kind: Any, names: tuple[str, ...] | None, label: str, where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names and (rows,) labels of a label column, unchecked."""
    values = column.to_pylist()
    known = [value for value in values if value is not None]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        numbers = np.array([-1 if value is None else value for value in values], dtype=np.int64)
        if names is None:
            names = tuple(map(str, range(int(numbers.max(initial=-1)) + 1)))
        return names, numbers
    if all(isinstance(value, str) for value in known):
        names = tuple(sorted(set(known))) if names is None else names
        places = {name: place for place, name in enumerate(names)}
        missing = next((value for value in known if value not in places), None)
        if missing is not None:
            raise DataError(f"{where}: label {missing!r} is not one of the {len(names)} classes")
        labels = [-1 if value is None else places[value] for value in values]
        return names, np.array(labels, dtype=np.int64)
    raise DataError(f"{where}: column {label} is {kind}; expected integer or string labels")


def features_of(schema: Any) -> dict[str, Any]:
    """Feature descriptions that `datasets` left in an Arrow schema, ``{}`` where it did not."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])["info"]
        return dict(info["features"])
    except (KeyError, TypeError, ValueError):
        return {}


def parquet_rows(paths: Sequence[Path]) -> TableRows:
    """Rows of Parquet files, one after another.

    Up to 2 GiB of files are read into memory and nothing is written; more go through
    ``datasets.Dataset.from_parquet``, which maps them from its cache folder.

    Raises:
        DataError: a file is missing, is not Parquet, or differs from the first in its columns or
            class names.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"no such file: {path}; expected a Parquet file")
    if sum(path.stat().st_size for path in paths) > IN_MEMORY_BYTES:
        return _mapped_rows(paths)
    return _loaded_rows(paths)


def _loaded_rows(paths: Sequence[Path]) -> TableRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    tables: list[Any] = []
    for path in paths:
        content = read_file(path)
        digest.update(content)
        try:
            tables.append(pq.read_table(io.BytesIO(content)))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable Parquet file: {error}") from error
        _check_alike(tables[0].schema, tables[-1].schema, paths[0], path)
    table = pa.concat_tables(tables)
    schema = tables[0].schema
    return TableRows(
        table.column,
        types=dict(zip(schema.names, schema.types, strict=True)),
        features=features_of(schema),
        parts=[(str(path), part.num_rows) for path, part in zip(paths, tables, strict=True)],
        digest=partial(str, digest.hexdigest()),
    )


def _mapped_rows(paths: Sequence[Path]) -> TableRows:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset

    parts = []
    schemas = []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                parts.append((str(path), file.metadata.num_rows))
                schemas.append(file.schema_arrow)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable Parquet file: {error}") from error
        _check_alike(schemas[0], schemas[-1], paths[0], path)
    table = Dataset.from_parquet([str(path) for path in paths]).data
    return TableRows(
        table.column,
        types=dict(zip(table.schema.names, table.schema.types, strict=True)),
        features=features_of(schemas[0]),
        parts=parts,
        digest=partial(file_digest, tuple(paths)),
    )


def _check_alike(first: Any, other: Any, first_path: Path, path: Path) -> None:
    if not first.equals(other, check_metadata=False):
        raise DataError(
            f"{path}: columns {', '.join(other.names)} differ in name or type from those of "
            f"{first_path} ({', '.join(first.names)})"
        )
    if features_of(first) != features_of(other):
        raise DataError(f"{path}: its features or class names differ from those of {first_path}")
