"""Tables of image paths and labels: `csv:FILE`, `metadata.csv` and its kin, val_annotations.txt."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentsmooth.errors import DataError
from latentsmooth.images.rows import read_file
from latentsmooth.images.splits import exact_split
from latentsmooth.images.walk import printable

__all__ = ["METADATA_NAMES", "Listing", "read_annotations", "read_listing"]

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_PATHS = (
    *("filename", "path", "filepath", "imagepath", "image", "img", "file", "imgpath", "imagename"),
    *("imgname", "imagefile", "imagefilename", "relativepath", "relpath", "imagefilepath", "fname"),
    *("imageid", "id", "name"),
)
_LABELS = (
    *("label", "class", "classname", "target", "category", "finelabel", "cls", "y", "labelname"),
    *("categoryname", "classlabel", "labelid", "classid", "categoryid", "breed", "species"),
    *("diagnosis", "dx"),
)
_SPLITS = ("split", "set", "subset", "partition", "datasplit", "phase", "usage")
_YES, _NO = frozenset(("1", "true", "yes", "t")), frozenset(("0", "false", "no", "f"))
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.0*)?", re.ASCII)
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
        splits: their splits, ``None`` for no such column.
        numbered: whether all labels are whole numbers, and so no names.
    """

    file: Path
    paths: tuple[str, ...]
    labels: tuple[str | None, ...] | None
    splits: tuple[str, ...] | None
    numbered: bool

    def located(self, folder: Path) -> list[str]:
        """Each image's path, relative ones below a folder."""
        # `Path` would take microseconds for each of a million.
        found = [os.path.normpath(os.path.join(folder, path)) for path in self.paths]  # noqa: PTH118
        if os.sep != "\\" and any("\\" in path for path in self.paths):
            found = [
                path if os.path.lexists(path) else path.replace("\\", os.sep) for path in found
            ]
        return found


def read_listing(file: Path) -> Listing:
    """Read a table of paths and labels: CSV with any usual delimiter, JSON Lines or Parquet.

    The columns are found by name: the first of ``file_name``, ``path``, ``image``, … and of
    ``label``, ``class``, ``target``, …; names of classes go before numbers for them.

    Raises:
        DataError: it cannot be read, has no column of paths, or numbers and names for labels that
            contradict each other, or a row is of another length than the heading.
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
            f"{file}: no column of paths; columns are {_listed(columns)}; expected one named "
            "file_name, path, image, filename, image_path or the like"
        )
    missing = next((row for row, path in enumerate(columns[path_column]) if not path), None)
    if missing is not None:
        raise DataError(f"{file} row {missing}: no path in column {path_column}")
    others = {name: cells for name, cells in columns.items() if name != path_column}
    labels, numbered = _label_cells(file, others)
    return Listing(
        file=file,
        paths=tuple(path or "" for path in columns[path_column]),
        labels=labels,
        splits=_split_cells(file, others),
        numbered=numbered,
    )


def _key(column: str) -> str:
    """A column's name without what does not tell it from others: ``File names``, ``file_name``."""
    return "".join(letter for letter in column.lower() if letter.isalnum()).removesuffix("s")


def _column(columns: Mapping[str, object], names: Sequence[str]) -> str | None:
    found = [column for name in names for column in columns if _key(column) == _key(name)]
    return found[0] if found else None


def _label_cells(
    file: Path, columns: Mapping[str, Sequence[str | None]]
) -> tuple[tuple[str | None, ...] | None, bool]:
    """The labels, and whether they are numbers; names go before numbers that stand for them.

    Raises:
        DataError: one column has numbers and another names that do not stand for them.
    """
    found = {
        column: _plain(columns[column])
        for name in _LABELS
        for column in columns
        if _key(column) == _key(name) and any(columns[column])
    }
    if not found:
        empty = _column(columns, _LABELS)
        return (None if empty is None else tuple(_plain(columns[empty]))), False
    first = next(iter(found))
    if lists := [cell for cell in found[first] if cell and re.match(r"\[.*\]$|\{.*\}$", cell)]:
        raise DataError(
            f"{file}: column {first} holds {printable(lists[0], most=40)}; expected one class"
        )
    named = [column for column, cells in found.items() if not _are_numbers(cells)]
    if first in named or not named:
        return tuple(found[first]), first not in named
    pairs = set(zip(found[first], found[named[0]], strict=True))
    if not len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}):
        raise DataError(
            f"{file}: columns {first} and {named[0]} could both be the label; expected one"
        )
    return tuple(found[named[0]]), False


def _plain(cells: Sequence[str | None]) -> list[str | None]:
    """Labels without what programs make of whole numbers: ``"3.0"`` is 3, -1 is no label."""
    known = [cell for cell in cells if cell]
    if not all(map(_NUMBER.fullmatch, known)):
        return [unicodedata.normalize("NFC", cell) if cell else None for cell in cells]
    numbers = [cell.partition(".")[0] if cell else None for cell in cells]
    if any(each is not None and each.startswith("-") and each != "-1" for each in numbers):
        return numbers
    return [None if each == "-1" else each for each in numbers]


def _are_numbers(cells: Sequence[str | None]) -> bool:
    return all(cell is None or (cell.isascii() and cell.isdigit()) for cell in cells)


def _split_cells(file: Path, columns: Mapping[str, Sequence[str | None]]) -> tuple[str, ...] | None:
    """The splits, by canonical name where they have one.

    They stand in a column that is called so, or that holds nothing but names of splits, or in one
    that says whether an image is of one (``is_valid``).

    Raises:
        DataError: a cell is empty, or no yes or no.
    """
    keys = set(map(_key, _LABELS))
    column = _column(columns, _SPLITS) or next(
        (
            name
            for name, cells in columns.items()
            if _key(name) not in keys and all(each and exact_split(each) for each in cells)
        ),
        None,
    )
    if column is None:
        flags = {name: split for name in columns if (split := _flag(name, columns[name]))}
        return _flagged(file, columns, flags) if flags else None
    empty = next((row for row, cell in enumerate(columns[column]) if not cell), None)
    if empty is not None:
        raise DataError(f"{file} row {empty}: no split in column {column}; others have one")
    return tuple(exact_split(cell or "") or cell or "" for cell in columns[column])


def _flag(column: str, cells: Sequence[str | None]) -> str | None:
    """The split that a column says yes or no of: ``is_valid``, or ``train`` with such cells."""
    said = re.sub("^is[_ ]?", "", column.strip(), flags=re.IGNORECASE)
    plain = said == column.strip()
    if plain and not all(_yes_or_no(cell) in _YES | _NO for cell in cells):
        return None
    return exact_split(said)


def _yes_or_no(cell: str | None) -> str:
    return (cell or "").partition(".")[0].strip().lower()


def _flagged(
    file: Path, columns: Mapping[str, Sequence[str | None]], flags: Mapping[str, str]
) -> tuple[str, ...]:
    """Splits of rows by columns of yes or no; of one alone, "no" is the rest: training, or test."""
    told: list[str] = []
    rest = "test" if "train" in flags.values() else "train"
    for row in range(len(columns[next(iter(flags))])):
        cells = {column: _yes_or_no(columns[column][row]) for column in flags}
        wrong = next((column for column in cells if cells[column] not in _YES | _NO), None)
        if wrong is not None:
            raise DataError(f"{file} row {row}: column {wrong} says {cells[wrong]!r}")
        yes = {flags[column] for column in cells if cells[column] in _YES}
        if len(yes) > 1 or (not yes and len(flags) > 1):
            raise DataError(
                f"{file} row {row}: {', '.join(flags)} say that it is of "
                f"{' and '.join(sorted(yes)) or 'no split'}; expected one"
            )
        told.append(yes.pop() if yes else rest)
    return tuple(told)


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
