"""Hostile images, tables and arrays: only `DataError`, and pixels of the promised shape."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from latentsmooth.errors import DataError
from latentsmooth.images.decoding import Geometry, decode, survey
from latentsmooth.images.fashion import parse_idx
from latentsmooth.images.parquet import parquet_rows
from latentsmooth.images.rows import Payload
from tests.fuzz.damage import ODD_VALUES, altered, bounded, damaged, fuzzed
from tests.images.samples import encoded, picture, png

# PIL warns of what it finds odd, and then reads on or raises.
pytestmark = pytest.mark.filterwarnings("ignore")
SIZE = (12, 8)
EXIF = Image.Exif()
EXIF[0x0112] = 6
WHOLE = {
    "gray png": png("L", SIZE),
    "palette png": png("P", SIZE),
    "transparent png": png("RGBA", SIZE),
    "turned png": encoded(picture(size=SIZE), exif=EXIF),
    "jpeg": encoded(picture(size=SIZE), "JPEG"),
    "turned jpeg": encoded(picture(size=SIZE), "JPEG", exif=EXIF),
    "progressive jpeg": encoded(picture(size=SIZE), "JPEG", progressive=True),
    "cmyk jpeg": encoded(picture("CMYK", SIZE), "JPEG"),
    "mpo": encoded(picture(size=SIZE), "MPO", save_all=True, append_images=[picture(size=SIZE)]),
    "gif": encoded(picture("P", SIZE), "GIF"),
    "animation": encoded(
        picture("P", SIZE), "GIF", save_all=True, append_images=[picture("P", SIZE, 1)]
    ),
    "webp": encoded(picture(size=SIZE), "WEBP"),
    "turned webp": encoded(picture("RGBA", SIZE), "WEBP", lossless=True, exif=EXIF),
    "bmp": encoded(picture(size=SIZE), "BMP"),
    "palette bmp": encoded(picture("P", SIZE), "BMP"),
    "tiff": encoded(picture(size=SIZE), "TIFF", exif=EXIF),
    "lzw tiff": encoded(picture("CMYK", SIZE), "TIFF", compression="tiff_lzw"),
    "jpeg tiff": encoded(picture(size=SIZE), "TIFF", compression="jpeg"),
    "bilevel tiff": encoded(picture("1", SIZE), "TIFF", compression="group4"),
    "ppm": encoded(picture(size=SIZE), "PPM"),
    "plain ppm": b"P3 2 1 255\n1 2 3 4 5 6\n",
}
GEOMETRIES = [
    Geometry((3, 8, 12)),
    Geometry((1, 12, 8)),
    Geometry((3, 5, 7), resize=True, zoom=1.15),
    Geometry((1, 8, 12), resize=True),
]


class OneRow:
    """A set of a single image."""

    labels = np.full(1, -1, dtype=np.int64)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return 1

    def name(self, row: int) -> str:
        return "the image"

    def record_name(self, row: int) -> str:
        return self.name(row)

    def read(self, row: int) -> Payload:
        return self._content

    def fingerprint(self) -> str:
        return ""


def refused(call: Callable[[], object]) -> bool:
    """Whether a reader refused what it was given, in a short text and within bounds."""
    message = None
    with bounded():
        try:
            call()
        except DataError as error:
            message = str(error)
    assert message is None or 0 < len(message) < 3000
    return message is not None


def check(content: bytes, geometry: Geometry) -> None:
    found: list[Any] = []
    refused(lambda: found.append(decode(OneRow(content), 0, geometry)))
    for pixels in found:
        assert pixels.shape == geometry.image_shape
        assert pixels.dtype == np.uint8
    shapes: list[Any] = []
    refused(lambda: shapes.append(survey(OneRow(content), image_size=None)))
    assert len(shapes) >= len(found)
    if found and not geometry.resize:
        assert shapes[0][1:] == geometry.image_shape[1:]


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_damaged_below_is_whole_here(kind: str) -> None:
    geometry = Geometry((3, 5, 7), resize=True)
    assert refused(lambda: decode(OneRow(WHOLE[kind]), 0, geometry)) == (kind == "animation")


@fuzzed(450)
@given(
    content=st.sampled_from(list(WHOLE.values())).flatmap(damaged),
    geometry=st.sampled_from(GEOMETRIES),
)
def test_damaged_images(content: bytes, geometry: Geometry) -> None:
    check(content, geometry)


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Type and body of each chunk of a PNG."""
    found, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """PNGs whose chunks are altered under checksums that hold."""
    names = [name for name in WHOLE if name.endswith("png")]
    parts = chunks(WHOLE[draw(st.sampled_from(names))])
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(parts) - 1))
        kind, body = parts[place]
        action = draw(st.sampled_from(["body", "unzip", "remove", "double", "add"]))
        if action == "body":
            parts[place] = (kind, draw(damaged(body)) if body else body)
        elif action == "unzip" and kind == b"IDAT":
            with suppress(zlib.error):  # of a body that an earlier turn damaged
                parts[place] = (kind, zlib.compress(draw(damaged(zlib.decompress(body)))))
        elif action == "remove" and len(parts) > 1:
            del parts[place]
        elif action == "double":
            parts.insert(draw(st.integers(0, len(parts))), parts[place])
        else:
            kinds = [
                b"tRNS",
                b"PLTE",
                b"gAMA",
                b"eXIf",
                b"acTL",
                b"fcTL",
                b"iCCP",
                b"zTXt",
                b"iTXt",
            ]
            added = (draw(st.sampled_from(kinds)), draw(st.binary(max_size=40)))
            parts.insert(draw(st.integers(0, len(parts))), added)
    whole = b"\x89PNG\r\n\x1a\n"
    for kind, body in parts:
        check_sum = struct.pack(">I", zlib.crc32(kind + body))
        whole += struct.pack(">I", len(body)) + kind + body + check_sum
    return whole


@fuzzed(200)
@given(content=pngs(), geometry=st.sampled_from(GEOMETRIES))
def test_altered_pngs_with_their_checksums(content: bytes, geometry: Geometry) -> None:
    check(content, geometry)


FEATURES: dict[str, Any] = {
    "info": {
        "features": {
            "image": {"_type": "Image"},
            "label": {"_type": "ClassLabel", "names": ["cat", "dog"]},
        }
    }
}
KIND = pa.struct({"bytes": pa.binary(), "path": pa.string()})
CELLS = [{"bytes": png("L", seed=seed), "path": f"{seed}.png"} for seed in range(3)]


def table(image: Any, label: Any, features: Any, **options: Any) -> bytes:
    made = pa.table({"image": image, "label": label, "caption": ["x"] * len(label)})
    made = made.replace_schema_metadata({"huggingface": json.dumps(features)})
    stream = io.BytesIO()
    pq.write_table(made, stream, **options)
    return stream.getvalue()


TABLE = table(pa.array(CELLS, KIND), [0, 1, 1], FEATURES, compression="none")
TEXTS = table(pa.array(CELLS, KIND), ["cat", None, "dog"], {}, row_group_size=2)


def read(path: Path, content: bytes) -> bool:
    path.write_bytes(content)

    def everything() -> None:
        rows = parquet_rows([path])
        assert len(rows) == len(rows.labels) <= 1000
        assert rows.labels.min() >= -1
        assert rows.labels.max() < max(1, len(rows.class_names))
        for row in range(len(rows)):
            rows.name(row)
            decode(rows, row, Geometry((1, 4, 6)))

    return refused(everything)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "t.parquet"


@pytest.mark.parametrize("content", [TABLE, TEXTS])
def test_the_tables_damaged_below_are_whole_here(content: bytes, path: Path) -> None:
    assert not read(path, content)


@fuzzed(200)
@given(content=st.sampled_from([TABLE, TEXTS]).flatmap(damaged))
def test_damaged_parquet(path: Path, content: bytes) -> None:
    read(path, content)


@fuzzed(150)
@given(
    features=altered(FEATURES),
    image=st.sampled_from([pa.array(CELLS, KIND), pa.array([png("L")] * 3), [1, 2, 3]]),
    label=st.lists(ODD_VALUES, min_size=3, max_size=3),
)
def test_odd_schemas_and_rows(path: Path, features: Any, image: Any, label: list[Any]) -> None:
    try:
        content = table(image, label, features)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        content = table(image, [0, 1, 1], features)
    read(path, content)


@fuzzed(100)
@given(content=damaged(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(24)))
def test_damaged_idx(content: bytes) -> None:
    refused(lambda: parse_idx(content, name="file"))
