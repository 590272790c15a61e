"""Parquet files made to mislead: sizes, schemas and rows that are not what they say."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latentsmooth.errors import DataError
from latentsmooth.images import load_images, parquet, tables
from tests.images.samples import png, write_parquet

NOT_UTF8 = pa.array([b"\xff\xfe"]).view(pa.string())


def store(path: Path, columns: dict[str, Any], features: object = None) -> Path:
    table = pa.table(columns)
    if features is not None:
        content = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": content})
    pq.write_table(table, path, store_schema=features is not None)
    return path


def repeated(value: object, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))


def pictures(*, path: pa.Array | None = None, image: bytes | None = None) -> pa.Array:
    fields = [pa.array([png() if image is None else image])]
    fields.append(pa.array(["0.png"]) if path is None else path)
    return pa.StructArray.from_arrays(fields, ["bytes", "path"])


@pytest.mark.parametrize("nested", [False, True])
def test_one_value_for_many_rows_stays_one(nested: bool, tmp_path: Path) -> None:
    rows = 100_000
    content = encoded_large()
    image = repeated(content, rows)
    if nested:
        names = repeated("n" * 100_000, rows)
        image = pa.StructArray.from_arrays([image, names], ["bytes", "path"])
    labels = repeated("cat" * 300, rows)
    path = store(tmp_path / "a.parquet", {"image": image, "label": labels})
    assert path.stat().st_size < 10**6
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    images = load_images(f"parquet:{path}", limit=2)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - before < 2**26
    assert images[1].image.shape == (3, 4, 6)


def encoded_large() -> bytes:
    """A PNG with a megabyte behind its end, which no decoder looks at."""
    return png() + bytes(10**6)


def test_columns_that_unpack_beyond_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png() + bytes(10**6)] * 2, [0, 1])
    monkeypatch.setattr(parquet, "MAX_UNPACKED_BYTES", 10**6)
    with pytest.raises(DataError, match=r"column image unpacks to more than 1,000,000 bytes"):
        load_images(f"parquet:{path}")
    monkeypatch.setattr(parquet, "MAX_ROWS", 1)
    with pytest.raises(DataError, match="2 rows; at most 1 are read"):
        load_images(f"parquet:{path}")
    monkeypatch.undo()
    monkeypatch.setattr(tables, "MAX_ROWS", 1)
    with pytest.raises(DataError, match="2 rows; at most 1 are read"):
        load_images(f"parquet:{path}")


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        ({"label": [10**12]}, None, "label 1000000000000 in column label; without class names"),
        ({"label": pa.array([2**64 - 1], pa.uint64())}, None, "label 18446744073709551615"),
        (
            {"label": pa.array([2**64 - 1], pa.uint64())},
            {"label": {"_type": "ClassLabel", "names": ["a"]}},
            "is out of range; expected 0 to 0",
        ),
        ({"label": NOT_UTF8}, None, "not a readable Parquet file: .*UTF8"),
        ({"image": pictures(path=NOT_UTF8)}, None, "not a readable Parquet file: .*UTF8"),
        ({"image": [[1, 2]]}, {"image": {"_type": "Image"}}, "no image column"),
        ({"image": [{"bytes": 5, "binary": b""}]}, None, "no image column"),
        ({"image": [{"x": {"bytes": b""}}]}, None, "no image column"),
        ({"image": pictures(image=b"GIF89a")}, None, r"row 0 \(0.png\): not a readable image"),
        ({"label": [True]}, None, "expected integer or string labels"),
        ({"label": [{"a": 1}]}, None, "expected integer or string labels"),
        ({}, {"label": {"_type": "ClassLabel", "names": 5}}, "names are not a list of texts"),
        ({}, {"label": {"_type": "ClassLabel", "names": "ab"}}, "names are not a list of texts"),
        ({}, {"label": {"_type": "ClassLabel", "names": ["a", 1]}}, "not a list of texts"),
        ({"x" * 10**5: [1], "image": [1]}, None, "no image column; columns are label"),
    ],
)
def test_columns_that_mislead_are_refused(
    columns: dict[str, Any], features: object, message: str, tmp_path: Path
) -> None:
    path = store(tmp_path / "a.parquet", {"label": [0], "image": pictures(), **columns}, features)
    with pytest.raises(DataError, match=message) as caught:
        load_images(f"parquet:{path}").batch([0])
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("features", [[], "x", 5, {"label": 5}, {"label": {"_type": []}}, None])
def test_features_of_another_form_are_no_features(features: object, tmp_path: Path) -> None:
    path = store(tmp_path / "a.parquet", {"image": pictures(), "label": [1]}, features)
    assert load_images(f"parquet:{path}").class_names == ("0", "1")


def test_features_nested_beyond_python_s_stack_are_no_features(tmp_path: Path) -> None:
    table = pa.table({"image": pictures(), "label": [1]})
    table = table.replace_schema_metadata({"huggingface": "[" * 100_000})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load_images(f"parquet:{tmp_path / 'a.parquet'}").class_names == ("0", "1")


def test_a_struct_that_only_resembles_images_with_paths(tmp_path: Path) -> None:
    image = pa.StructArray.from_arrays([pa.array([png()]), pa.array(["x"])], ["bytes", "xpath"])
    images = load_images(f"parquet:{store(tmp_path / 'a.parquet', {'image': image})}")
    assert images[0].name.endswith("a.parquet row 0")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pictures(), pa.array([0]), pa.array([1])], ["image", "a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="two columns are called 'a'"):
        load_images(f"parquet:{tmp_path / 'a.parquet'}")


def test_no_other_column_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    store(path, {"image": pictures(), "label": [0], "caption": NOT_UTF8})
    assert len(load_images(f"parquet:{path}")) == 1


def test_class_names_that_no_model_could_hold_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png()], ["c" * 1001])
    with pytest.raises(DataError, match="a class name of 1,001 characters; at most 1,000"):
        load_images(f"parquet:{path}")


def long_list(rows: int = 2) -> pa.Array:
    """A list of ten million small numbers a row, which takes next to nothing in a file."""
    ends = pa.array(np.linspace(0, 10**7 * rows, rows + 1).astype(np.int32))
    return pa.ListArray.from_arrays(ends, pa.array(np.zeros(10**7 * rows, dtype=np.int8)))


def test_lists_in_place_of_labels_are_refused_unread(tmp_path: Path) -> None:
    images = pa.concat_arrays([pictures(), pictures()])
    path = store(tmp_path / "a.parquet", {"image": images, "label": long_list()})
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    with pytest.raises(DataError, match=r"column label is list<.*>; expected integer or string"):
        load_images(f"parquet:{path}")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - before < 2**22


def test_lists_in_place_of_paths_are_not_made_python_s(tmp_path: Path) -> None:
    fields = [pa.array([png()] * 2), long_list(), pa.array([b"x"] * 2)]
    image = pa.StructArray.from_arrays(fields, ["bytes", "path", "more"])
    path = store(tmp_path / "a.parquet", {"image": image, "label": [0, 1]})
    images = load_images(f"parquet:{path}")
    tracemalloc.start()
    assert images[1].image.shape == (3, 4, 6)
    assert images[1].name.endswith("a.parquet row 1")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("labels", "names", "wanted"),
    [
        (pa.array([2, None, 0], pa.uint8()), ("0", "1", "2"), [2, -1, 0]),
        (pa.array(["b", None, "a"]), ("a", "b"), [1, -1, 0]),
        (pa.array(["b", None, "a"], pa.large_string()), ("a", "b"), [1, -1, 0]),
        (pa.array([None, None, None], pa.null()), (), [-1, -1, -1]),
        (
            pa.DictionaryArray.from_arrays(pa.array([2, None, 0], pa.int8()), ["b", "no", "a"]),
            ("a", "b"),
            [0, -1, 1],
        ),
        (
            pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), [3, 1]),
            ("0", "1", "2", "3"),
            [1, -1, 3],
        ),
    ],
)
def test_labels_of_every_type_that_is_read(
    labels: pa.Array, names: tuple[str, ...], wanted: list[int], tmp_path: Path
) -> None:
    images = pa.concat_arrays([pictures()] * 3)
    path = store(tmp_path / "a.parquet", {"image": images, "label": labels}, {})
    found = load_images(f"parquet:{path}")
    assert found.class_names == names
    assert [found[place].label for place in range(3)] == [
        None if label == -1 else label for label in wanted
    ]
