"""Tables of paths and labels, beside images and on their own."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from tests.images.trees import grow, other, read, told

HERE = ("a/0.png", "a/1.png", "b/2.png")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "path,label\na/0.png,dog\na/1.png,cat\nb/2.png,dog\n"),
        ("t.csv", "\ufefffilename;class\r\na/0.png;dog\r\na/1.png;cat\r\nb/2.png;dog\r\n"),
        ("t.tsv", "image\tspecies\na/0.png\tdog\na/1.png\tcat\nb/2.png\tdog\n"),
        ("t.csv", 'id,x,label\n"a/0.png","1,5",dog\na/1.png,2,cat\nb/2.png,3,dog\n\n'),
        (
            "t.jsonl",
            "".join(
                json.dumps({"file_name": p, "label": "cat" if "1" in p else "dog"}) + "\n"
                for p in HERE
            ),
        ),
        ("t.csv", "file,Label\n./a/0.png,dog\na//1.png,cat\nb/../b/2.png,dog\n"),
    ],
)
def test_forms_of_tables(name: str, content: str, tmp_path: Path) -> None:
    grow(tmp_path, *HERE)
    other(tmp_path, {name: content})
    for source in (f"csv:{tmp_path / name}", str(tmp_path / name)):
        images = load_images(source)
        assert images.class_names == ("cat", "dog")
        assert images.labels.tolist() == [1, 0, 1]
        assert images.split == "all"


def test_a_column_or_file_names_tell_the_split(tmp_path: Path) -> None:
    grow(tmp_path, *HERE)
    other(
        tmp_path,
        {
            "t.csv": "path,label,split\na/0.png,dog,Train\na/1.png,cat,train\nb/2.png,emu,val\n",
            "train.csv": "path,label\na/0.png,dog\na/1.png,cat\n",
            "test.csv": "path,label\nb/2.png,dog\n",
        },
    )
    train = load_images(f"csv:{tmp_path}/t.csv", split="train")
    assert (train.split, train.class_names) == ("train", ("cat", "dog", "emu"))
    assert train.labels.tolist() == [1, 0]
    assert load_images(f"csv:{tmp_path}/t.csv", split="val").labels.tolist() == [2]
    both = f"csv:{tmp_path}/train.csv,{tmp_path}/test.csv"
    assert load_images(both, split="test").labels.tolist() == [1]
    with pytest.raises(ConfigurationError, match="no split 'train'; there is test"):
        load_images(f"csv:{tmp_path}/test.csv", split="train")


def test_numbers_stay_numbers_whichever_part_has_them(tmp_path: Path) -> None:
    grow(tmp_path, *HERE)
    other(
        tmp_path,
        {"t.csv": "path,label,split\na/0.png,11,train\na/1.png,2,train\nb/2.png,03,test\n"},
    )
    test = load_images(f"csv:{tmp_path}/t.csv", split="test")
    assert test.class_names == tuple(map(str, range(12)))
    assert (test.named, test.labels.tolist()) == (False, [3])


def test_unlabelled_missing_and_repeated_rows(tmp_path: Path) -> None:
    grow(tmp_path, *HERE)
    other(
        tmp_path,
        {
            "t.csv": "path,label\na/0.png,dog\na/1.png,\n"
            "missing.png,cat\nnotes.txt,cat\na/0.png,dog\n",
            "bare.csv": "path\na/0.png\n",
            "notes.txt": "no image",
        },
    )
    images = load_images(f"csv:{tmp_path}/t.csv")
    assert images.labels.tolist() == [1, -1]
    assert images.left_out == {
        "missing": ("missing.png",),
        "no image": ("notes.txt",),
        "listed again": ("a/0.png",),
    }
    assert load_images(f"csv:{tmp_path}/bare.csv").labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows"),
        ("path,label\n", "no rows"),
        ("x,label\na/0.png,dog\n", "no column of paths; columns are x, label"),
        ("path,label\na/0.png,dog,more\n", "row 0: 3 cells; expected 2"),
        ("path,path\na/0.png,dog\n", "two columns have the same name"),
        ("path,label\n,dog\n", "row 0: no path"),
        ("path,label\na/0.png,dog\na/0.png,cat\n", "two labels, 'dog' and 'cat'"),
        ("path,split\na/0.png,train\na/0.png,test\n", "two splits, train and test"),
        ("path,split\na/0.png,train\na/1.png,\n", "row 1: no split"),
        ("path,label\nx.png,dog\n", "no image of split all can be read"),
        ('path,label\n"a/0.png,dog\n', "not a readable table"),
    ],
)
def test_tables_that_cannot_be_used(content: str, message: str, tmp_path: Path) -> None:
    grow(tmp_path, *HERE)
    other(tmp_path, {"t.csv": content})
    with pytest.raises(DataError, match=message):
        load_images(f"csv:{tmp_path}/t.csv", split="train")


def test_metadata_goes_before_the_names_of_folders(tmp_path: Path) -> None:
    grow(tmp_path, "train/0.png", "train/1.png", "train/x/2.png", "test/0.png")
    other(
        tmp_path,
        {
            "train/metadata.csv": "file_name,label\n0.png,dog\n1.png,cat\n"
            "x/2.png,dog\ngone.png,dog\n",
            "test/metadata.jsonl": '{"file_name": "0.png", "label": "emu"}\n',
        },
    )
    train = read(tmp_path, "train")
    assert told(train, tmp_path) == {
        "train/0.png": "dog",
        "train/1.png": "cat",
        "train/x/2.png": "dog",
    }
    assert not isinstance(train, str)
    assert train.class_names == ("cat", "dog", "emu")
    assert train.left_out == {"no image, though a table names it": ("gone.png",)}
    assert told(read(tmp_path, "test"), tmp_path) == {"test/0.png": "emu"}


def test_one_table_for_all_splits(tmp_path: Path) -> None:
    grow(tmp_path, "train/0.png", "train/1.png", "val/0.png", "val/1.png")
    table = pa.table({"file_name": ["train/0.png", "train/1.png", "val/0.png"], "label": [2, 0, 1]})
    pq.write_table(table, tmp_path / "metadata.parquet")
    train, val = read(tmp_path, "train"), read(tmp_path, "val")
    assert told(train, tmp_path) == {"train/0.png": "2", "train/1.png": "0"}
    assert told(val, tmp_path) == {"val/0.png": "1"}
    assert not isinstance(val, str)
    assert val.left_out == {"image that no table of labels names": ("val/1.png",)}
    assert (val.named, val.class_names) == (False, ("0", "1", "2"))


def test_metadata_without_labels_leaves_the_folders_to_speak(tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png", "dog/0.png")
    other(tmp_path, {"metadata.csv": "file_name,text\ncat/0.png,a cat\ndog/0.png,a dog\n"})
    assert told(read(tmp_path, "train"), tmp_path) == {"cat/0.png": "cat", "dog/0.png": "dog"}


def test_tiny_imagenet_as_it_is_unpacked(tmp_path: Path) -> None:
    grow(
        tmp_path,
        *(f"train/{word}/images/{word}_{k}.JPEG" for word in ("n02", "n01") for k in range(2)),
        *(f"val/images/val_{k}.JPEG" for k in range(3)),
        "test/images/test_0.JPEG",
    )
    other(
        tmp_path,
        {
            "val/val_annotations.txt": "val_0.JPEG\tn02\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n",
            "wnids.txt": "n02\nn01\n",
            "words.txt": "n01\tfish\n",
            "train/n01/n01_boxes.txt": "n01_0.JPEG\t0\t0\t9\t9\n",
        },
    )
    train, val, test = (read(tmp_path, split) for split in ("train", "val", "test"))
    assert told(train, tmp_path) == {
        f"train/{word}/images/{word}_{k}.JPEG": word for word in ("n01", "n02") for k in range(2)
    }
    assert told(val, tmp_path) == {"val/images/val_0.JPEG": "n02", "val/images/val_1.JPEG": "n01"}
    assert not isinstance(val, str)
    assert val.left_out["image that no table of labels names"] == ("val/images/val_2.JPEG",)
    assert told(test, tmp_path) == {"test/images/test_0.JPEG": None}
    assert not isinstance(test, str)
    assert test.class_names == ("n01", "n02")


def test_a_path_says_what_it_is(tmp_path: Path) -> None:
    grow(tmp_path / "set", "train/cat/0.png", "train/dog/0.png")
    assert load_images(str(tmp_path / "set"), split="train").class_names == ("cat", "dog")
    other(tmp_path, {"notes.md": "hello"})
    with pytest.raises(DataError, match=r"notes\.md is no data set"):
        load_images(str(tmp_path / "notes.md"))
    with pytest.raises(ConfigurationError, match="on the hub it is hub:owner/name"):
        load_images("owner/name")


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    grow(tmp_path / "pets", "cat/0.png", "dog/0.png")
    other(tmp_path, {"pets/t.csv": "path,label\ncat/0.png,x\n"})
    for source in ("imagefolder:~/pets", "~/pets", "csv:~/pets/t.csv", "cifar10:~/pets"):
        assert len(load_images(source)) in (1, 2)
        assert load_images(source).source == source


def test_images_and_tables_in_one_folder_are_refused(tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds image files and Parquet files such as a"):
        load_images(str(tmp_path))
