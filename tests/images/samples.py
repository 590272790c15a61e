"""Small images and files that the tests of this folder share."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(mode: str = "RGB", size: tuple[int, int] = (6, 4), seed: int = 0) -> Image.Image:
    """Random pixels; ``size`` is (width, height)."""
    draws = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(draws).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(mode: str = "RGB", size: tuple[int, int] = (6, 4), seed: int = 0) -> bytes:
    return encoded(picture(mode, size, seed))


def write_parquet(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    image: str = "image",
    label: str = "label",
    extra: dict[str, Any] | None = None,
) -> Path:
    """A Parquet file in the layout of `datasets`; ``names`` adds its ClassLabel metadata."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = [{"bytes": content, "path": f"{row}.png"} for row, content in enumerate(images)]
    columns: dict[str, Any] = {image: pa.array(cells, type=kind)}
    if labels is not None:
        columns[label] = pa.array(labels)
    table = pa.table({**columns, **(extra or {})})
    if names is not None:
        features = {
            image: {"_type": "Image"},
            label: {"names": list(names), "_type": "ClassLabel"},
        }
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path)
    return path
