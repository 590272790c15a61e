from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from latentsmooth.images.listings import read_annotations, read_listing
from tests.images.layouts import POINTER, build, pets, read

TWO = ["a.png", "b.png"]

TABLES = {
    "plain": ("path,label\na.png,x\nb.png,y", {"a.png": "x", "b.png": "y"}),
    "semicolons and spaces": ("File Name; Class\na.png; x\nb.png; y", {"a.png": "x", "b.png": "y"}),
    "tabs": ("image\tspecies\na.png\tx\nb.png\ty", {"a.png": "x", "b.png": "y"}),
    "quotes": ('img,target\n"a.png","x, y"\n"b.png",z', {"a.png": "x, y", "b.png": "z"}),
    "order mark and blank lines": (
        "\ufefffile,y\na.png,x\n\nb.png,y\n\n",
        {"a.png": "x", "b.png": "y"},
    ),
    "numbers": ("filename,label\na.png,2\nb.png,0", {"a.png": "2", "b.png": "0"}),
    "floats and gaps": ("filename,label\na.png,1.0\nb.png,", {"a.png": "1", "b.png": None}),
    "minus one": ("filename,label\na.png,1\nb.png,-1", {"a.png": "1", "b.png": None}),
    "numbers and names": (
        "path,class_id,class_name\na.png,0,zebra\nb.png,1,ant",
        {"a.png": "zebra", "b.png": "ant"},
    ),
    "no labels": ("image_id,width\na.png,3\nb.png,4", {"a.png": None, "b.png": None}),
    "listed twice": ("path,label\na.png,x\nb.png,y\na.png,x", {"a.png": "x", "b.png": "y"}),
    "one missing": ("path,label\na.png,x\nb.png,y\nc.png,x", {"a.png": "x", "b.png": "y"}),
}


@pytest.mark.parametrize("table", TABLES)
def test_tables(table: str, tmp_path: Path) -> None:
    text, labels = TABLES[table]
    build(tmp_path, [*TWO, f"list.csv|{text}"])
    for source in (f"csv:{tmp_path / 'list.csv'}", str(tmp_path / "list.csv")):
        images, found = read(source, tmp_path, "train")
        assert (images.split, found) == ("all", labels)
        assert any("the same images answer to all" in note for note in images.notes)
    left_out = {
        "listed twice": {"listed again": ("a.png",)},
        "one missing": {"missing": ("c.png",)},
    }
    assert images.left_out == left_out.get(table, {})


SPLITS = {
    "column": "path,label,split\na.png,x,train\nb.png,y,test",
    "cases": "path,label,Set\na.png,x,TRAINING\nb.png,y,Testing",
    "data set": "path,label,data set\na.png,x,train\nb.png,y,test",
    "any column of splits": "path,label,purpose\na.png,x,train\nb.png,y,test",
    "is_train": "path,label,is_train\na.png,x,1\nb.png,y,0",
    "is_training_image": "path,label,is_training_image\na.png,x,1.0\nb.png,y,0.0",
    "IsTest": "path,label,IsTest\na.png,x,False\nb.png,y,True",
    "train": "path,label,train\na.png,x,True\nb.png,y,False",
    "two flags": "path,label,is_train,is_test\na.png,x,1,0\nb.png,y,0,1",
    "is_valid": "path,label,is_valid\na.png,x,no\nb.png,y,yes",
}


@pytest.mark.parametrize("table", SPLITS)
def test_columns_that_tell_splits(table: str, tmp_path: Path) -> None:
    build(tmp_path, [*TWO, f"list.csv|{SPLITS[table]}"])
    last = "validation" if table == "is_valid" else "test"
    images, found = read(f"csv:{tmp_path / 'list.csv'}", tmp_path, "train")
    assert (images.split, images.class_names, found) == ("train", ("x", "y"), {"a.png": "x"})
    images, found = read(f"csv:{tmp_path / 'list.csv'}", tmp_path, "test")
    assert (images.split, images.class_names, found) == (last, ("x", "y"), {"b.png": "y"})


@pytest.mark.parametrize(
    ("one", "other", "row"),
    [
        ("train/1.png", "test/2.png", "{0},x\n{1},y"),
        ("Train/x/1.png", "Valid/y/2.png", "{0},x\n{1},y"),
        ("seg_train/seg_train/x/1.png", "seg_test/seg_test/y/2.png", "{0},x\n{1},y"),
        ("data/img_train/1.png", "data/img_val/2.png", "./{0},x\n./{1},y"),
        ("train/x/1.png", "test/y/2.png", "{root}/{0},x\n{root}/{1},y"),
    ],
)
def test_folders_in_paths_that_tell_splits(one: str, other: str, row: str, tmp_path: Path) -> None:
    build(tmp_path, [one, other])
    rows = row.format(one, other, root=tmp_path)
    (tmp_path / "list.csv").write_text(f"path,label\n{rows}\n")
    assert read(f"csv:{tmp_path / 'list.csv'}", tmp_path, "train")[1] == {one: "x"}
    assert read(f"csv:{tmp_path / 'list.csv'}", tmp_path, "test")[1] == {other: "y"}


def test_one_file_in_two_splits_of_a_table(tmp_path: Path) -> None:
    rows = "path,label,split\na.png,x,train\nb.png,x,test"
    build(tmp_path, ["a.png", f"l.csv|{rows}"], [("b.png", "a.png")])
    with pytest.raises(DataError, match=r"of split test and .* of split train are one file"):
        load_images(f"csv:{tmp_path / 'l.csv'}")


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    build(
        tmp_path, ["train/1.png", "plane/2.png", "l.csv|path,label\ntrain/1.png,a\nplane/2.png,b"]
    )
    images, found = read(f"csv:{tmp_path / 'l.csv'}", tmp_path, "test")
    assert (images.split, found) == ("all", {"train/1.png": "a", "plane/2.png": "b"})


def test_names_of_tables_tell_splits(tmp_path: Path) -> None:
    heading = "Width,ClassId,Path\n"
    files = [f"Train.csv|{heading}3,1,Train/1.png", f"Test.csv|{heading}3,0,Test/2.png"]
    build(tmp_path, ["Train/1.png", "Test/2.png", *files])
    both = f"csv:{tmp_path / 'Train.csv'},{tmp_path / 'Test.csv'}"
    images, found = read(both, tmp_path, "train")
    assert (images.class_names, found) == (("0", "1"), {"Train/1.png": "1"})
    assert read(both, tmp_path, "test")[1] == {"Test/2.png": "0"}
    with pytest.raises(ConfigurationError, match="no split 'test'; there is train"):
        load_images(str(tmp_path / "Train.csv"))


def test_paths_as_windows_writes_them_and_other_kinds_of_tables(tmp_path: Path) -> None:
    build(tmp_path, ["img/a.png", "img/b.png", "w.csv|path,label\nimg\\a.png,x\nimg\\b.png,y"])
    wanted = {"img/a.png": "x", "img/b.png": "y"}
    assert read(f"csv:{tmp_path / 'w.csv'}", tmp_path, "test")[1] == wanted
    rows = [{"file_name": name, "label": label} for name, label in wanted.items()]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert read(str(tmp_path / "l.jsonl"), tmp_path, "test")[1] == wanted
    pq.write_table(pa.table({"path": list(wanted), "label": [1.0, 0.0]}), tmp_path / "l.parquet")
    assert read_listing(tmp_path / "l.parquet").labels == ("1", "0")


REFUSED = {
    "no path column": ("width,label\n3,x", "no column of paths; columns are width, label"),
    "no rows": ("path,label\n", "no rows"),
    "ragged": ("path,label\na.png", "1 cells; expected 2"),
    "twice": ("path,path\na.png,b.png", "two columns have the same name"),
    "no path": ("path,label\n,x", "row 0: no path"),
    "no split": ("path,label,split\na.png,x,train\nb.png,y,", "row 1: no split"),
    "odd flag": ("path,label,is_train\na.png,x,maybe", "column is_train says 'maybe'"),
    "labels differ": ("path,label,species\na.png,0,z\nb.png,1,z", "could both be the label"),
    "two labels": ("path,label\na.png,x\na.png,y", "listed with two labels, 'x' and 'y'"),
    "two splits": ("path,split\na.png,train\na.png,test", "listed in two splits, train and test"),
    "split in some": ("path,label\ntrain/a.png,x\ntest/b.png,y\nc.png,z", "folders of no split"),
    "split twice": ("path,label\ntrain/test/a.png,x\ntest/b.png,y", "folders of test, train"),
    "none there": ("path,label\nx.png,y", r"can be read \(left out: 1 × missing \(x.png\)\)"),
    "of no split": ("path,is_train,is_test\na.png,0,0", "is_train, is_test say .* no split"),
    "of two splits": ("path,is_train,is_test\na.png,1,1", "of test and train; expected one"),
    "cases": ("path,label,split\na.png,X,train\nb.png,x,test", "one class or two"),
    "lists": ('path,label\na.png,"[1, 2]"', r"column label holds \[1, 2\]; expected one class"),
    "huge number": ("path,label\na.png,20240101\nb.png,1", "at most 1,000,000 classes"),
    "quote": ('path,label\n"a.png,x', "not a readable table"),
    "pointer": (POINTER, "a Git LFS pointer"),
}


@pytest.mark.parametrize("table", REFUSED)
def test_tables_that_are_refused(table: str, tmp_path: Path) -> None:
    text, message = REFUSED[table]
    build(tmp_path, [*TWO, f"list.csv|{text}"])
    with pytest.raises(DataError, match=message):
        load_images(f"csv:{tmp_path / 'list.csv'}")


def test_other_tables_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"path,label\n\xff.png,x")
    with pytest.raises(DataError, match="not UTF-8"):
        load_images(f"csv:{tmp_path / 'l.csv'}")
    (tmp_path / "l.jsonl").write_text('{"path": "a.png"}\n[1]')
    with pytest.raises(DataError, match="line 2: expected an object"):
        read_listing(tmp_path / "l.jsonl")
    (tmp_path / "l.jsonl").write_text("{")
    with pytest.raises(DataError, match="line 1: not JSON"):
        read_listing(tmp_path / "l.jsonl")
    (tmp_path / "l.parquet").write_text("x")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_listing(tmp_path / "l.parquet")
    with pytest.raises(DataError, match="no such file"):
        load_images(f"csv:{tmp_path / 'none.csv'}")
    build(tmp_path, ["p.csv|path,label\ni.png,x", f"i.png|{POINTER}"])
    with pytest.raises(DataError, match=r"i\.png: a Git LFS pointer"):
        load_images(f"csv:{tmp_path / 'p.csv'}")


def test_tables_of_other_kinds_of_labels(tmp_path: Path) -> None:
    files = ["train.csv|path,label\na.png,cat", "test.csv|path,label\nb.png,1", "chars.csv|"]
    build(tmp_path, [*TWO, *files])
    source = f"csv:{tmp_path / 'train.csv'},{tmp_path / 'test.csv'}"
    with pytest.raises(DataError, match="numbers such as 1, those of another table names such as"):
        load_images(source)
    (tmp_path / "train.csv").write_text("path,label\na.png,cat\nc.png,1")
    images, found = read(source, tmp_path, "test")
    assert (images.class_names, images.named, found) == (("1", "cat"), True, {"b.png": "1"})


METADATA = {
    "labels": (
        [*TWO, "metadata.csv|file_name,label\na.png,x\nb.png,y"],
        "all",
        {"a.png": "x", "b.png": "y"},
    ),
    "lines of JSON": (
        ["test/a.png", 'test/metadata.jsonl|{"file_name": "a.png", "label": "x"}', *pets("train")],
        "test",
        {"test/a.png": "x"},
    ),
    "below a folder": (
        ["data/test/a.png", "data/train/b.png", "README.md|x",
         "data/metadata.csv|file_name,label\ntest/a.png,x\ntrain/b.png,y"],
        "test",
        {"data/test/a.png": "x"},
    ),
    "splits": (
        [*TWO, "metadata.csv|file_name,label,split\na.png,x,Test\nb.png,y,train"],
        "test",
        {"a.png": "x"},
    ),
    "splits of class folders": (
        ["cat/1.png", "dog/2.png", "metadata.csv|file_name,split\ncat/1.png,train\ndog/2.png,test"],
        "test",
        {"dog/2.png": "dog"},
    ),
    "numbers go before folders": (
        ["cat/1.png", "dog/2.png", "metadata.csv|file_name,label\ncat/1.png,1\ndog/2.png,0"],
        "all",
        {"cat/1.png": "1", "dog/2.png": "0"},
    ),
    "splits in classes": (
        ["cat/train/1.png", "cat/test/2.png",
         "Metadata.csv|file_name,label\ncat/train/1.png,x\ncat/test/2.png,y"],
        "test",
        {"cat/test/2.png": "y"},
    ),
    "captions alone": (
        ["cat/1.png", "dog/1.png", "metadata.csv|file_name,text\ncat/1.png,a cat"],
        "all",
        {"cat/1.png": "cat", "dog/1.png": "dog"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", METADATA)
def test_metadata_in_folders(layout: str, tmp_path: Path) -> None:
    files, split, labels = METADATA[layout]
    build(tmp_path, files)
    for source in (f"imagefolder:{tmp_path}", str(tmp_path)):
        images, found = read(source, tmp_path, "test")
        assert (images.split, found) == (split, labels)


def test_what_metadata_leaves_out_is_named(tmp_path: Path) -> None:
    rows = "a.png,x,test\nc.png,y,test"
    build(tmp_path, [*TWO, f"metadata.csv|file_name,label,split\n{rows}"])
    images, found = read(str(tmp_path), tmp_path, "test")
    assert found == {"a.png": "x"}
    assert images.left_out == {
        "image that no table of labels names": ("b.png",),
        "no image, though a table names it": ("c.png",),
    }
    (tmp_path / "metadata.csv").write_text("file_name,split\na.png,test\n")
    assert load_images(str(tmp_path)).left_out == {"image that no table gives a split": ("b.png",)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([*TWO, "metadata.csv|file_name,label\na.png,x\na.png,y"], "label 'y', and elsewhere 'x'"),
        ([*TWO, "metadata.csv|file_name,split\na.png,train\na.png,test"], "is of two splits"),
        (
            [*pets("train"), "test/a.png", "test/metadata.csv|file_name,label\na.png,0"],
            "labels are numbers such as 0, while other folders have classes such as cat",
        ),
        (
            [*pets("train", "test"), "metadata.csv|file_name,split\ntrain/cat/1.png,test"],
            "lies in the folder of split train, a table says test",
        ),
    ],
)
def test_metadata_that_contradicts_is_refused(
    files: list[str], message: str, tmp_path: Path
) -> None:
    build(tmp_path, files)
    with pytest.raises(DataError, match=message):
        load_images(str(tmp_path))


def test_numbers_in_metadata_are_class_folders_where_these_are_numbers(tmp_path: Path) -> None:
    table = "test/metadata.csv|file_name,label\na.png,10"
    build(tmp_path, ["train/2/1.png", "train/10/1.png", "test/a.png", table])
    images, found = read(str(tmp_path), tmp_path, "test")
    assert (images.class_names, found) == (("10", "2"), {"test/a.png": "10"})


def test_tiny_imagenet_as_unpacked(tmp_path: Path) -> None:
    rows = "v0.JPEG\tn2\t0\t0\nv1.JPEG\tn1\t0\t0\n"
    build(
        tmp_path / "tiny-imagenet-200",
        [*(f"train/n{k}/images/n{k}_0.JPEG" for k in (1, 2, 3)), "train/n1/n1_boxes.txt|n1_0 0",
         "val/images/v0.JPEG", "val/images/v1.JPEG", f"val/val_annotations.txt|{rows}",
         "test/images/t0.JPEG", "wnids.txt|n1", "words.txt|n1\tone"],
    )  # fmt: skip
    root = tmp_path / "tiny-imagenet-200"
    images, found = read(str(root), root, "val")
    assert images.class_names == ("n1", "n2", "n3")
    assert found == {"val/images/v0.JPEG": "n2", "val/images/v1.JPEG": "n1"}
    images, found = read(str(tmp_path), root, "train")
    assert found["train/n3/images/n3_0.JPEG"] == "n3"
    assert images.left_out == {"no image": ("tiny-imagenet-200/train/n1/n1_boxes.txt",)}
    images, found = read(str(root), root, "test")
    assert (images.split, found) == ("test", {"test/images/t0.JPEG": None})
    assert "unlabelled" in images.notes[-1]
    (root / "val" / "val_annotations.txt").write_text("v0.JPEG n1\n\nv0.JPEG n2")
    with pytest.raises(DataError, match=r"line 3: another class for v0\.JPEG"):
        read_annotations(root / "val" / "val_annotations.txt")
    (root / "val" / "val_annotations.txt").write_text("v0.JPEG")
    with pytest.raises(DataError, match="line 1: expected an image and its class"):
        load_images(str(root), split="val")
