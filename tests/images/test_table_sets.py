from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from tests.images.layouts import POINTER, build
from tests.images.samples import png, write_parquet


def make(root: Path, parts: dict[str, tuple[list[Any] | None, list[str] | None]]) -> Path:
    for seed, (name, (labels, names)) in enumerate(parts.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [png(seed=10 * seed + row) for row in range(len(labels or [0]))]
        write_parquet(path, rows, labels, names=names)
    return root


def named(source: str, split: str) -> tuple[str, list[str | None]]:
    images = load_images(source, split=split)
    return images.split, [
        None if label < 0 else images.class_names[label] for label in images.labels.tolist()
    ]


@pytest.mark.parametrize(
    ("train", "test", "split"),
    [
        ("default/train/0000.parquet", "default/test/0000.parquet", "test"),
        ("split=train/part-0.parquet", "split=val/part-0.parquet", "validation"),
        ("data/training.parquet", "data/my_evaluation_set.parquet", "validation"),
        ("Train/0.pq", "TEST/0.PARQUET", "test"),
        ("cifarTRAIN.parquet", "cifarTest.parquet", "test"),
        (
            "data/train-00000-of-00001-0a.parquet",
            "data/valid-00000-of-00001-1b.parquet",
            "validation",
        ),
        ("subset=Training/a/0.parquet", "subset=Dev/a/0.parquet", "validation"),
    ],
)
def test_parquet_folders(train: str, test: str, split: str, tmp_path: Path) -> None:
    make(tmp_path, {train: (["b", "a"], None), test: (["c", "b"], None)})
    build(tmp_path, ["README.md|x", ".cache/x.parquet|y", "__MACOSX/train.parquet|z"])
    assert named(str(tmp_path), "train") == ("train", ["b", "a"])
    assert named(str(tmp_path), "test") == (split, ["c", "b"])
    files = f"parquet:{tmp_path / train},{tmp_path / test}"
    assert named(files, "test") == (split, ["c", "b"])
    assert load_images(files, split="train").class_names == ("a", "b", "c")


KINDS: dict[str, tuple[Any, Any, tuple[str, ...], list[str | None]]] = {
    "texts, a subset": ((["b", "a", "c"], None), (["c", "a"], None), ("a", "b", "c"), ["c", "a"]),
    "numbers without the highest": (([0, 2, 1], None), ([1, 0], None), ("0", "1", "2"), ["1", "0"]),
    "numbers without the lowest": (([0, 2, 1], None), ([2], None), ("0", "1", "2"), ["2"]),
    "names in another order": (
        ([0, 1], ["x", "y"]), ([0, 1, 1], ["y", "x"]), ("x", "y"), ["y", "x", "x"]
    ),
    "fewer names": (([0, 1], ["x", "y"]), ([0], ["y"]), ("x", "y"), ["y"]),
    "names and texts": (([0, 1], ["x", "y"]), (["z", "x"], None), ("x", "y", "z"), ["z", "x"]),
    "names and numbers": (([1, 0], ["x", "y"]), ([0, 0], None), ("x", "y"), ["x", "x"]),
    "no labels": (([1, 0], ["x", "y"]), (None, None), ("x", "y"), [None]),
    "unknown labels": ((["x", "y"], None), ([None, "y"], None), ("x", "y"), [None, "y"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_labels_by_name_over_all_files(kind: str, tmp_path: Path) -> None:
    train, test, names, labels = KINDS[kind]
    make(tmp_path, {"train.parquet": train, "test.parquet": test})
    assert named(str(tmp_path), "test") == ("test", labels)
    for split in ("train", "test"):
        assert load_images(str(tmp_path), split=split).class_names == names
    unlabelled = load_images(str(tmp_path)).notes
    assert ("the images of split test are unlabelled" in unlabelled) == (labels == [None])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "numbers and texts": (
        {"train.parquet": (["a"], None), "test.parquet": ([0], None)}, "the same kind of labels"
    ),
    "numbers beyond names": (
        {"train.parquet": ([0], ["a"]), "test.parquet": ([3], None)}, "up to 3; .* has 1 names"
    ),
    "several sets": (
        {"en/train.parquet": ([0], None), "de/train.parquet": ([0], None)}, "several sets"
    ),
    "parts without names": (
        {"a/0.parquet": ([0], None), "b/0.parquet": ([0], None)}, "the layout is not understood"
    ),
    "glued words": (
        {"mnisttrain.parquet": ([0], None), "mnisttest.parquet": ([0], None)},
        "mnisttest and mnisttrain could be of one split or of two",
    ),
    "one without a word": (
        {"train.parquet": ([0], None), "holdout.parquet": ([0], None)}, "its name has no split"
    ),
    "labels in folders": (
        {f"split={split}/label=cat/0.parquet": (None, None) for split in ("train", "test")},
        "labels stand in the names of folders",
    ),
    "two words": ({"train_and_test.parquet": ([0], None)}, "several splits"),
    "a label that no name has": ({"test.parquet": ([2], ["a", "b"])}, "label 2 is out of range"),
}  # fmt: skip


@pytest.mark.parametrize("layout", REFUSED)
def test_parquet_sets_that_are_refused(layout: str, tmp_path: Path) -> None:
    parts, message = REFUSED[layout]
    make(tmp_path, parts)
    with pytest.raises(DataError, match=message):
        load_images(str(tmp_path))


def test_files_that_no_word_tells_apart_say_so(tmp_path: Path) -> None:
    make(tmp_path, {"a.parquet": (["x"], None), "b.parquet": (["y"], None)})
    images = load_images(str(tmp_path))
    assert (images.split, len(images), images.class_names) == ("all", 2, ("x", "y"))
    assert "no file is named after a split: the same images answer to every split" in images.notes


def test_images_beside_parquet_files_are_refused(tmp_path: Path) -> None:
    make(tmp_path, {"train.parquet": (["x"], None)})
    build(tmp_path, ["cat/1.png"])
    with pytest.raises(DataError, match=r"holds image files and Parquet files such as train\.parq"):
        load_images(str(tmp_path))
    with pytest.raises(ConfigurationError, match="no split 'test'; there is train"):
        load_images(f"parquet:{tmp_path / 'train.parquet'}")


@pytest.mark.parametrize("place", ["test.parquet", "train.parquet"])
def test_a_pointer_in_place_of_a_parquet_file(place: str, tmp_path: Path) -> None:
    make(tmp_path, {"train.parquet": (["x"], None), "test.parquet": (["x"], None)})
    (tmp_path / place).write_text(POINTER)
    with pytest.raises(DataError, match=rf"{place}: a Git LFS pointer"):
        load_images(str(tmp_path))


def test_a_pointer_in_place_of_an_image_or_of_fashion_mnist(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test.parquet", [POINTER.encode()], ["x"])
    with pytest.raises(DataError, match="a Git LFS pointer"):
        load_images(str(tmp_path))
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_text(POINTER)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte: a Git LFS pointer"):
        load_images(f"fashion-mnist:{tmp_path}")


def bitmap(header: int, *, alpha: int, compression: int) -> bytes:
    """A bitmap of 32 bits a pixel; all colours are (200, 20, 10)."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    pixels = bytes((10, 20, 200, alpha)) * 6
    info = struct.pack("<IiiHHIIiiII", header, 3, 2, 1, 32, compression, 24, 0, 0, 0, 0)
    info = (info + masks[: min(header - 40, 16)]).ljust(header, b"\0")
    info += masks[:12] if header == 40 and compression == 3 else b""
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + 24, 7, 0, 14 + len(info)) + info + pixels


@pytest.mark.parametrize("header", [40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize("compression", [0, 3])
@pytest.mark.parametrize("alpha", [0, 255])
def test_bitmaps_without_alpha_are_not_white(
    header: int, compression: int, alpha: int, tmp_path: Path
) -> None:
    content = bitmap(header, alpha=alpha, compression=compression)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1").write_bytes(content)
    write_parquet(tmp_path / "p.parquet", [content], ["cat"])
    for source in (f"imagefolder:{tmp_path}", f"parquet:{tmp_path / 'p.parquet'}"):
        pixel = load_images(source)[0].image[:, 0, 0] * 255
        assert pixel.round().tolist() == [200, 20, 10]


def test_hub_like_columns_with_paths_alone_are_refused(tmp_path: Path) -> None:
    cells = pa.array(
        [{"bytes": None, "path": "1.png"}], pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    write_parquet(tmp_path / "p.parquet", [png()], ["x"], image="other", extra={"image": cells})
    with pytest.raises(DataError, match="a path without the image's bytes"):
        load_images(str(tmp_path / "p.parquet"))
