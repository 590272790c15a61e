"""Folders as people lay them out, and as tools leave them: what is a split, a class, or neither."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.images.trees import MAC, grow, other, read, told

PAIR = ("cat", "dog")


def both(train: str, test: str, *, inside: str = "") -> list[str]:
    """A cat and a dog in each of two folders."""
    return [f"{split}/{inside}{animal}/0.png" for split in (train, test) for animal in PAIR]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("TRAIN", "Valid"), "validation"),
        (("training", "evaluation"), "validation"),
        (("train2017", "val2017"), "validation"),
        (("Train", "dev"), "validation"),
        (("split=train", "split=test"), "test"),
        (("01_train", "02_test"), "test"),
        (("trainset", "testset"), "test"),
        (("seg_train", "seg_test"), "test"),
        (("training_set", "test_set"), "test"),
        (("asl_alphabet_train", "asl_alphabet_test"), "test"),
        (("Train Images", "Eval Images"), "validation"),
    ],
)
def test_spellings_of_splits(names: tuple[str, str], wanted: str, tmp_path: Path) -> None:
    grow(tmp_path, *both(*names))
    for split, folder in (("train", names[0]), (wanted, names[1])):
        images = read(tmp_path, split)
        assert told(images, tmp_path) == {f"{folder}/{each}/0.png": each for each in PAIR}
        assert not isinstance(images, str)
        assert (images.split, images.class_names) == (split, PAIR)


@pytest.mark.parametrize(
    "beside",
    [
        "annotations/boxes.json",
        "devkit/data/readme.txt",
        "docs/a/b/c.md",
        "labels/train/0.txt",
        "Meta.csv",
        "meta/classes.txt",
    ],
)
def test_what_lies_beside_splits_changes_nothing(beside: str, tmp_path: Path) -> None:
    grow(tmp_path, *both("train", "val"), "test/0.png")
    before = {split: told(read(tmp_path, split), tmp_path) for split in ("train", "val", "test")}
    other(tmp_path, {beside: "{}"})
    after = {split: told(read(tmp_path, split), tmp_path) for split in ("train", "val", "test")}
    assert after == before
    assert before["test"] == {"test/0.png": None}


def test_folders_of_images_beside_splits_are_named(tmp_path: Path) -> None:
    grow(tmp_path, *both("Train", "Test"), "Meta/0.png", "Meta/1.png")
    images = read(tmp_path, "test")
    assert told(images, tmp_path) == {f"Test/{each}/0.png": each for each in PAIR}
    assert not isinstance(images, str)
    assert images.left_out == {"folder of images beside those that are read": ("Meta",)}
    assert any("Meta" in note for note in images.notes)


@pytest.mark.parametrize(
    ("wrapper", "inside"),
    [
        ("chest_xray/", ""),
        ("archive/chest_xray/", ""),
        ("images/", ""),
        ("ILSVRC/Data/CLS-LOC/", ""),
        ("", "images/"),
    ],
)
def test_folders_that_hold_nothing_else(wrapper: str, inside: str, tmp_path: Path) -> None:
    grow(tmp_path, *(wrapper + name for name in both("train", "val", inside=inside)))
    other(tmp_path, {"ILSVRC/Annotations/x.xml": "<x/>", "archive/readme": "hello"})
    for split in ("train", "val"):
        found = told(read(tmp_path, split), tmp_path)
        assert found == {f"{wrapper}{split}/{inside}{each}/0.png": each for each in PAIR}


def test_masks_beside_images_are_no_class(tmp_path: Path) -> None:
    grow(tmp_path, "JPEGImages/0.png", "SegmentationClass/0.png")
    images = read(tmp_path, "train")
    assert told(images, tmp_path) == {"JPEGImages/0.png": None}
    assert not isinstance(images, str)
    assert list(images.left_out.values()) == [("SegmentationClass",)]


def test_splits_within_splits_of_one_name(tmp_path: Path) -> None:
    grow(tmp_path, *both("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/9.png")
    found = told(read(tmp_path, "test"), tmp_path)
    assert found == {f"seg_test/seg_test/{each}/0.png": each for each in PAIR}


def test_splits_within_classes(tmp_path: Path) -> None:
    grow(tmp_path, *(f"{each}/{part}/0.png" for each in PAIR for part in ("train", "test")))
    for split in ("train", "test"):
        assert told(read(tmp_path, split), tmp_path) == {f"{e}/{split}/0.png": e for e in PAIR}
    grow(tmp_path, "dog/good/1.png")
    assert "holds more than split folders" in str(read(tmp_path, "test"))


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        ((*both("learn", "check"),), "hold folders called cat, dog"),
        ((*both("fold1", "fold2"),), "hold folders called cat, dog"),
        ((*both("train", "val"), "valid/cat/0.png"), "valid both stand for the validation"),
        ((*both("Train", "train"),), "both stand for the train"),
        (("cat/0.png", "dog/0.png", "masks/0.png"), "masks among"),
        (("cat/0.png", "images/0.png"), "these are no classes"),
        (("train/cat/0.png", "train/dog/0.png", "extra/0.png"), "could be splits or classes"),
        (("train/0.png", "test/0.png", "other/0.png"), "could be splits or classes"),
        (("train/a/0.png", "train/b/0.png", "test/c/0.png", "test/d/0.png"), "no class in common"),
        (("cat/0.png", "dog/0.png", "preview.png"), "lies beside the class folders"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_was_seen(
    names: tuple[str, ...], seen: str, tmp_path: Path
) -> None:
    grow(tmp_path, *names)
    for split in ("train", "test"):
        assert seen in str(read(tmp_path, split))


@pytest.mark.parametrize(
    "names",
    [
        ("train/0.png", "plane/0.png", "ship/0.png"),
        ("train station/0.png", "test tube/0.png", "dev board/0.png"),
        ("validator/0.png", "tester/0.png"),
        ("0/0.png", "10/0.png", "2/0.png"),
        ("Épagneul/0.png", "犬/0.png", "wind hund/0.png"),
        ("BACKGROUND_Google/0.png", "accordion/0.png"),
    ],
)
def test_classes_that_resemble_something_else(names: tuple[str, ...], tmp_path: Path) -> None:
    grow(tmp_path, *names)
    images = read(tmp_path, "test")
    assert told(images, tmp_path) == {name: name.partition("/")[0] for name in names}
    assert not isinstance(images, str)
    assert images.split == "all"
    assert any("answer to every split" in note for note in images.notes)


JUNK = (
    *("__MACOSX", ".ipynb_checkpoints", ".thumbnails", "@eaDir", ".Trash-1000", "#recycle"),
    *("$RECYCLE.BIN", "System Volume Information", "lost+found", ".git", ".cache", "__pycache__"),
)


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("place", ["", "train/", "train/cat/", "test/dog/"])
def test_folders_that_tools_make_are_no_data(junk: str, place: str, tmp_path: Path) -> None:
    grow(tmp_path, *both("train", "test"))
    before = {split: told(read(tmp_path, split), tmp_path) for split in ("train", "test")}
    grow(tmp_path, f"{place}{junk}/cat/0.png", f"{place}{junk}/train/dog/1.png")
    other(tmp_path, {f"{place}{junk}/._0.png": MAC})
    after = {split: told(read(tmp_path, split), tmp_path) for split in ("train", "test")}
    assert after == before
    images = read(tmp_path, "train")
    assert not isinstance(images, str)
    assert images.left_out["hidden or left by a tool"] == (f"{place}{junk}",)


def test_files_that_tools_leave_are_no_data_and_not_worth_a_word(tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png", "dog/0.png")
    other(
        tmp_path,
        {
            "cat/._0.png": MAC,
            "cat/Thumbs.db": b"\xd0\xcf\x11\xe0",
            ".DS_Store": b"\0\0\0\1Bud1",
            "dog/desktop.ini": "[x]",
            "Thumbs.db": b"\xd0\xcf\x11\xe0",
        },
    )
    images = read(tmp_path, "train")
    assert told(images, tmp_path) == {"cat/0.png": "cat", "dog/0.png": "dog"}
    assert not isinstance(images, str)
    assert images.left_out == {}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    grow(tmp_path / "store", "cats/0.png", "dogs/0.png", "dogs/1.png")
    (tmp_path / "set").mkdir()
    for name in ("cats", "dogs"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store" / name)
    assert told(read(tmp_path / "set", "train"), tmp_path / "set") == {
        "cats/0.png": "cats",
        "dogs/0.png": "dogs",
        "dogs/1.png": "dogs",
    }
    (tmp_path / "set" / "cats" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "store" / "dogs")
    images = read(tmp_path / "set", "train")
    assert not isinstance(images, str)
    assert len(images) == 3
    assert sum(map(len, images.left_out.values())) == 2


def test_a_link_that_makes_test_of_train_is_no_split(tmp_path: Path) -> None:
    grow(tmp_path, "train/cat/0.png", "train/dog/0.png")
    (tmp_path / "test").symlink_to(tmp_path / "train")
    assert "no split 'test'; there is train" in str(read(tmp_path, "test"))
    assert len(read(tmp_path, "train")) == 2


def test_real_folders_go_before_links_to_them(tmp_path: Path) -> None:
    grow(tmp_path, "zebra/0.png", "yak/0.png")
    (tmp_path / "alias").symlink_to(tmp_path / "zebra")
    images = read(tmp_path, "train")
    assert not isinstance(images, str)
    assert images.class_names == ("yak", "zebra")


def test_folders_nested_too_deep_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "cat" / Path(*["d"] * 140)
    deep.mkdir(parents=True)
    assert "nested deeper than" in str(read(tmp_path, "train"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png", "dog/0.png")
    os.mkfifo(tmp_path / "cat" / "1.png")
    images = read(tmp_path, "train")
    assert not isinstance(images, str)
    assert images.left_out == {"an empty file": ("cat/1.png",)}
