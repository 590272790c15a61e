"""Tables of image paths and labels: `csv:FILE`, `metadata.csv` and its kin, val_annotations.txt."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentsmooth.errors import DataError
from latentsmooth.images.rows import read_file
from latentsmooth.images.walk import printable

__all__ = ["METADATA_NAMES", "Listing", "read_annotations", "read_listing"]

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_PATHS = (
    *("file_name", "filename", "path", "filepath", "file_path", "image_path", "image", "img"),
    *("file", "img_path", "image_name", "images", "image_file", "image_id", "id"),
)
_LABELS = (
    *("label", "labels", "class", "class_name", "target", "category", "fine_label", "cls", "y"),
    *("label_name", "classid", "class_id", "breed", "species"),
)
_SPLITS = ("split", "set", "subset", "partition", "data_split")
_DELIMITERS = ",;\t|"
_MAX_BYTES = 2**27
_MAX_UNPACKED_BYTES = 2**29


@dataclass(frozen=True, slots=True)
class Listing:
    """What a table says of image files.

    Attributes:
        file: the table.
        paths: of the images, as written there.
        labels: their labels as texts, ``None`` where a cell is empty; ``None`` for no such column.
        splits: likewise.
        numbered: whether all labels are whole numbers, and so no names.
    """

    file: Path
    paths: tuple[str, ...]
    labels: tuple[str | None, ...] | None
    splits: tuple[str | None, ...] | None
    numbered: bool

    def located(self, folder: Path) -> list[str]:
        """Each image's path, relative ones below a folder."""
        # `Path` would take microseconds for each of a million.
        return [os.path.normpath(os.path.join(folder, path)) for path in self.paths]  # noqa: PTH118


def read_listing(file: Path) -> Listing:
    """Read a table of paths and labels: CSV with any usual delimiter, JSON Lines or Parquet.

    The columns are found by name: the first of ``file_name``, ``path``, ``image``, … and of
    ``label``, ``class``, ``target``, …

    Raises:
        DataError: it cannot be read, names no column of paths, or two that could be, or a row is
            of another length than the heading.
    """
    content = read_file(file, limit=_MAX_BYTES)
    if file.suffix.lower() == ".parquet":
        columns = _parquet_columns(file, content)
    else:
        text = _text(file, content)
        jsonl = file.suffix.lower() in (".jsonl", ".ndjson")
        columns = _json_columns(file, text) if jsonl else _csv_columns(file, text)
    return _listing(file, columns)


def _listing(file: Path, columns: Mapping[str, Sequence[str | None]]) -> Listing:
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{file}: no rows; expected a heading and a row for each image")
    path_column = _column(columns, _PATHS)
    if path_column is None:
        raise DataError(
            f"{file}: no column of paths; columns are {_listed(columns)}; expected one named one "
            f"of {', '.join(_PATHS)}"
        )
    missing = next((row for row, path in enumerate(columns[path_column]) if not path), None)
    if missing is not None:
        raise DataError(f"{file} row {missing}: no path in column {path_column}")
    found = {kind: _column(columns, names) for kind, names in (("l", _LABELS), ("s", _SPLITS))}
    labels = None if found["l"] is None else tuple(each or None for each in columns[found["l"]])
    splits = None if found["s"] is None else tuple(columns[found["s"]])
    known = {label for label in labels or () if label is not None}
    return Listing(
        file=file,
        paths=tuple(path or "" for path in columns[path_column]),
        labels=labels,
        splits=splits,
        numbered=bool(known) and all(label.isascii() and label.isdigit() for label in known),
    )


def _column(columns: Mapping[str, object], names: Sequence[str]) -> str | None:
    by_name = {column.strip().lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _listed(columns: Mapping[str, object]) -> str:
    return ", ".join(printable(name) for name in list(columns)[:20])


def _text(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text: {error}") from error


def _csv_columns(file: Path, text: str) -> dict[str, list[str | None]]:
    heading = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=heading.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{file}: not a readable table: {error}") from error
    names, *rows = rows or [[]]
    if len(set(names)) < len(names):
        raise DataError(f"{file}: two columns have the same name; columns are {', '.join(names)}")
    for number, row in enumerate(rows):
        if row and len(row) != len(names):
            raise DataError(
                f"{file} row {number}: {len(row)} cells; expected {len(names)}, as in the heading"
            )
    rows = [row for row in rows if row]
    return {name: [row[place].strip() for row in rows] for place, name in enumerate(names)}


def _json_columns(file: Path, text: str) -> dict[str, list[str | None]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file} line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{file} line {number}: expected an object of columns")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_cell(row.get(name)) for row in rows] for name in names}


def _parquet_columns(file: Path, content: bytes) -> dict[str, list[str | None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(content)) as parquet:
            groups = range(parquet.metadata.num_row_groups)
            held = sum(parquet.metadata.row_group(group).total_byte_size for group in groups)
            if held > _MAX_UNPACKED_BYTES:
                raise DataError(f"{file}: unpacks to more than {_MAX_UNPACKED_BYTES:,} bytes")
            table = parquet.read()
        return {
            name: [_cell(each) for each in table[name].to_pylist()] for name in table.schema.names
        }
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: not a readable Parquet file: {error}") from error


def _cell(value: Any) -> str | None:
    """A cell as text: a whole number as its numeral, whatever else is no text as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, default=str)


def read_annotations(file: Path) -> dict[str, str]:
    """Class by image name, of Tiny ImageNet's ``val_annotations.txt``: name, class, box a line.

    Raises:
        DataError: a line has no class, or an image has two.
    """
    labels: dict[str, str] = {}
    for number, line in enumerate(_text(file, read_file(file)).splitlines(), start=1):
        cells = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        if len(cells) < 2:
            raise DataError(f"{file} line {number}: expected an image and its class")
        if labels.setdefault(cells[0].strip(), cells[1].strip()) != cells[1].strip():
            raise DataError(f"{file} line {number}: another class for {printable(cells[0])}")
    return labels
