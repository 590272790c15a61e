"""Parquet files, read without trusting what they say of their size."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from latentsmooth.errors import DataError
from latentsmooth.files import is_file
from latentsmooth.images.classes import PartNames
from latentsmooth.images.content import HEAD, LFS_CAUSE, is_lfs_pointer
from latentsmooth.images.rows import file_digest, read_file
from latentsmooth.images.tables import MAX_ROWS, TableRows, features_of, names_of_labels

__all__ = ["parquet_names", "parquet_rows"]

IN_MEMORY_BYTES = 2**30
MAX_UNPACKED_BYTES = 2**32
"""Most bytes that the image and label columns may take in memory."""
_DAMAGE = (OSError, ValueError, TypeError, KeyError, ArithmeticError, MemoryError)
"""What Arrow raises on damaged files; its own errors are kinds of these or its base class."""


def parquet_rows(paths: Sequence[Path]) -> TableRows:
    """Rows of Parquet files, one after another.

    Up to 1 GiB of files are read into memory and nothing is written; more go through
    ``datasets.Dataset.from_parquet``, which maps them from its cache folder. No other columns are
    read than those of images and labels. A value that stands in the file once for many rows is
    kept once, so that a small file stays small.

    Raises:
        DataError: a file is missing, is not Parquet, holds more than 4 GiB or 16 million rows,
            or differs from the first in its columns or class names.
    """
    for path in paths:
        if not is_file(path):
            raise DataError(f"no such file: {path}; expected a Parquet file")
    if sum(path.stat().st_size for path in paths) > IN_MEMORY_BYTES:
        return _mapped_rows(paths)
    return _loaded_rows(paths)


def parquet_names(path: Path) -> PartNames:
    """The classes that a Parquet file knows of; its images are not read.

    Raises:
        DataError: missing, not Parquet, or its label column cannot be read.
    """
    if not is_file(path):
        raise DataError(f"no such file: {path}; expected a Parquet file")
    schema, rows = _outline(path, path)
    return names_of_labels(
        partial(_column, [path], [path], [rows]),
        types=dict(zip(schema.names, schema.types, strict=True)),
        features=features_of(schema),
        part=str(path),
    )


def _loaded_rows(paths: Sequence[Path]) -> TableRows:
    digest = hashlib.sha256()
    contents: list[bytes] = []
    schemas: list[Any] = []
    counts: list[int] = []
    for path in paths:
        contents.append(read_file(path, limit=IN_MEMORY_BYTES))
        digest.update(contents[-1])
        schema, rows = _outline(path, io.BytesIO(contents[-1]))
        schemas.append(schema)
        counts.append(rows)
        _check_alike(schemas[0], schema, paths[0], path)
    return TableRows(
        partial(_column, paths, contents, counts),
        types=dict(zip(schemas[0].names, schemas[0].types, strict=True)),
        features=features_of(schemas[0]),
        parts=[(str(path), rows) for path, rows in zip(paths, counts, strict=True)],
        digest=partial(str, digest.hexdigest()),
    )


def _outline(path: Path, source: Any) -> tuple[Any, int]:
    """Arrow schema and number of rows, from the file's footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            names = schema.names
    except (pa.ArrowException, *_DAMAGE) as error:
        with suppress(OSError), path.open("rb") as stream:
            if is_lfs_pointer(stream.read(HEAD)):
                raise DataError(f"{path}: {LFS_CAUSE}") from error
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: two columns are called {twice[:80]!r}")
    if not 0 <= rows <= MAX_ROWS:
        raise DataError(f"{path}: {rows:,} rows; at most {MAX_ROWS:,} are read")
    return schema, rows


def _column(
    paths: Sequence[Path], contents: Sequence[bytes | Path], counts: Sequence[int], name: str
) -> Any:
    """One column of all files, a chunk for each row group."""
    import pyarrow as pa

    chunks: list[Any] = []
    held = 0
    for path, content, stated in zip(paths, contents, counts, strict=True):
        rows = 0
        try:
            for chunk in _chunks(path, content, name):
                held += chunk.nbytes
                _check_size(path, name, held)
                rows += len(chunk)
                chunks.append(chunk)
        except (pa.ArrowException, *_DAMAGE) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: not a readable Parquet file: {error}") from error
        if rows != stated:
            raise DataError(f"{path}: column {name[:80]} has {rows} rows, the file states {stated}")
    return pa.chunked_array(chunks)


def _chunks(path: Path, content: bytes | Path, name: str) -> Iterator[Any]:
    import pyarrow.parquet as pq

    def source() -> Any:
        return io.BytesIO(content) if isinstance(content, bytes) else content

    with pq.ParquetFile(source()) as file:
        groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
        parts = [group.column(place) for group in groups for place in range(group.num_columns)]
    parts = [part for part in parts if f"{part.path_in_schema}.".startswith(f"{name}.")]
    _check_size(path, name, sum(part.total_uncompressed_size for part in parts))
    # As dictionaries: a value that all rows share is then not copied for each of them.
    packed = {part.path_in_schema for part in parts if part.physical_type == "BYTE_ARRAY"}
    with pq.ParquetFile(source(), read_dictionary=sorted(packed)) as file:
        for group in range(file.metadata.num_row_groups):
            for chunk in file.read_row_group(group, columns=[name]).column(name).chunks:
                chunk.validate(full=True)
                yield chunk


def _check_size(path: Path, name: str, held: int) -> None:
    if held > MAX_UNPACKED_BYTES:
        raise DataError(
            f"{path}: column {name[:80]} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes"
        )


def _mapped_rows(paths: Sequence[Path]) -> TableRows:
    from datasets import Dataset

    parts = []
    schemas = []
    for path in paths:
        schema, rows = _outline(path, path)
        parts.append((str(path), rows))
        schemas.append(schema)
        _check_alike(schemas[0], schema, paths[0], path)
    try:
        table = Dataset.from_parquet([str(path) for path in paths]).data
    except Exception as error:  # `datasets` wraps what Arrow raises in errors of its own
        raise DataError(f"{paths[0]}: not readable as Parquet: {error}") from error
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
