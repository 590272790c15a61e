"""Hostile tables of paths and labels: only errors about data, in bounded time and memory."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latentsmooth.errors import DataError, LatentSmoothError
from latentsmooth.images import load_images
from latentsmooth.images.listings import read_annotations
from tests.fuzz.damage import bounded, damaged, fuzzed
from tests.images.samples import png

TABLE = b"path,label,split\na.png,cat,train\nb.png,dog,train\nc.png,cat,test\n"
LINES = b'{"file_name": "a.png", "label": 3}\n{"file_name": "b.png", "label": 0}\n'
CELLS = st.sampled_from(
    [
        "a.png",
        "b.png",
        "../a.png",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a\0b",
        "9" * 30,
        "-1",
        "1e9",
        "ü",
        "999999",
        "99999999999",
        "Infinity",
        '"',
        "a\rb",
        "=1+1",
        "train",
        "test",
        "\u202e",
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("listed")
    for name in ("a.png", "b.png", "c.png"):
        (place / name).write_bytes(png())
    return place


def read(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with bounded(), suppress(LatentSmoothError):
        images = load_images(str(folder / name), split="train")
        assert len(images) <= 3
        assert int(images.labels.max()) < max(1, len(images.class_names))


def test_what_is_damaged_below_is_whole_here(folder: Path) -> None:
    for name, content, labels in (("t.csv", TABLE, [0, 1]), ("t.jsonl", LINES, [3, 0])):
        (folder / name).write_bytes(content)
        assert load_images(str(folder / name), split="train").labels.tolist() == labels


@fuzzed(200)
@given(content=damaged(TABLE))
def test_damaged_tables(folder: Path, content: bytes) -> None:
    read(folder, "t.csv", content)


@fuzzed(200)
@given(content=damaged(LINES))
def test_damaged_lines(folder: Path, content: bytes) -> None:
    read(folder, "t.jsonl", content)


@fuzzed(150)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
)
def test_odd_cells(folder: Path, rows: list[tuple[str, str, str]], delimiter: str) -> None:
    lines = [delimiter.join(row) for row in [("path", "label", "split"), *rows]]
    read(folder, "t.csv", "\n".join(lines).encode("utf-8"))


@fuzzed(150)
@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(["file_name", "label", "split", "x"]),
            CELLS | st.integers() | st.floats() | st.none() | st.lists(st.integers(), max_size=2),
        ),
        max_size=5,
    )
)
@example(rows=[{"file_name": "a.png", "label": 10**18}])
def test_odd_lines(folder: Path, rows: list[dict[str, object]]) -> None:
    read(folder, "t.jsonl", "\n".join(map(json.dumps, rows)).encode("utf-8"))


@fuzzed(100)
@given(content=damaged(b"a.png\tn01\t0\t0\nb.png\tn02\t0\t0\n"))
def test_damaged_annotations(folder: Path, content: bytes) -> None:
    (folder / "val_annotations.txt").write_bytes(content)
    with suppress(DataError):
        read_annotations(folder / "val_annotations.txt")
