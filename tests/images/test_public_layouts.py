from __future__ import annotations

import re
from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from tests.images.layouts import build, by_folder, pets, read

NAMES = ("cat", "dog")
BESIDE = "folder of images beside those that are read"

DIVIDED: dict[str, tuple[list[str], dict[str, str], dict[str, tuple[str, ...]]]] = {
    "Chest X-ray, packed twice": (
        pets("train", "val", "test", "chest_xray/train", "chest_xray/test", "__MACOSX/x/test"),
        {"train": "train", "val": "val", "test": "test"},
        {BESIDE: ("chest_xray",), "hidden or left by a tool": ("__MACOSX",)},
    ),
    "Intel scenes": (
        [*pets("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/3.jpg"],
        {"train": "seg_train/seg_train", "test": "seg_test/seg_test"},
        {BESIDE: ("seg_pred",)},
    ),
    "dogs and cats": (
        [*pets("training_set/training_set", "test_set/test_set"), "test_set/test_set/x.txt|"],
        {"train": "training_set/training_set", "test": "test_set/test_set"},
        {},
    ),
    "Fruits-360": (
        [*pets("Training", "Test"), "test-multiple_fruits/1.jpg", "papers/a.pdf|%PDF-1.4"],
        {"train": "Training", "test": "Test"},
        {BESIDE: ("test-multiple_fruits",), "folder without images": ("papers",)},
    ),
    "Imagenette": (
        [*pets("imagenette2/train", "imagenette2/val"), "imagenette2/noisy.csv|path,label\n"],
        {"train": "imagenette2/train", "val": "imagenette2/val"},
        {},
    ),
    "CINIC-10": (
        [*pets("train", "valid", "test"), "README|notes", "imagenet-contributors.csv|a,b"],
        {"train": "train", "validation": "valid", "test": "test"},
        {},
    ),
    "annotations and docs": (
        [*pets("TRAIN", "Testing"), "annotations/train/1.xml|<x>", "docs/a.md|x", "kit/run.m|x"],
        {"train": "TRAIN", "test": "Testing"},
        {"folder without images": ("annotations", "docs", "kit")},
    ),
    "archive of one folder": (
        pets("archive/Brain/Training_Data", "archive/Brain/evaluation"),
        {"train": "archive/Brain/Training_Data", "eval": "archive/Brain/evaluation"},
        {},
    ),
    "camel case": (
        pets("birdTrain", "birdDev", "birdTest"),
        {"train": "birdTrain", "dev": "birdDev", "test": "birdTest"},
        {},
    ),
    "images and masks": (
        [*pets("images/train", "images/val"), *pets("masks/train", "masks/val")],
        {"train": "images/train", "val": "images/val"},
        {BESIDE: ("masks",)},
    ),
    "a picture beside": (
        [*pets("train", "test"), "overview.png", "README.md|x"],
        {"train": "train", "test": "test"},
        {"image beside the splits": ("overview.png",)},
    ),
    "a set called test": (pets("test/train", "test/val"), {"train": "test/train"}, {}),
    "SVHN": (
        [*pets("train", "test"), "extra/1.png"],
        {"train": "train", "test": "test"},
        {BESIDE: ("extra",)},
    ),
    "hive partitions": (
        pets("split=train", "split=test"),
        {"train": "split=train", "test": "split=test"},
        {},
    ),
}


@pytest.mark.parametrize("layout", DIVIDED)
def test_split_folders_in_public_layouts(layout: str, tmp_path: Path) -> None:
    files, splits, beside = DIVIDED[layout]
    build(tmp_path, files)
    for asked, folder in splits.items():
        images, found = read(f"imagefolder:{tmp_path}", tmp_path, asked)
        canonical = "validation" if asked in ("val", "eval", "dev") else asked
        assert (images.split, images.class_names) == (canonical, NAMES)
        assert found == by_folder(f"{folder}/cat/1.png", f"{folder}/dog/2.png")
        assert {why: images.left_out[why] for why in beside} == beside
        assert read(str(tmp_path), tmp_path, asked)[1] == found
    with pytest.raises(ConfigurationError, match="unknown split"):
        load_images(f"imagefolder:{tmp_path}", split="everything")


@pytest.mark.parametrize(
    "word",
    [
        *("train", "training", "TRAIN", "Train", "trainset", "Train_Set", "train2017"),
        *("training-data", "tRaIn"),
    ],
)
def test_words_for_training(word: str, tmp_path: Path) -> None:
    root = build(tmp_path, pets(word, "test"))
    assert read(f"imagefolder:{root}", root, "train")[1] == by_folder(*pets(word))


@pytest.mark.parametrize(
    "word",
    [
        "val",
        "valid",
        "Validation",
        "EVAL",
        "evaluation",
        "dev",
        "val_images",
        "dev-set",
        "Valid2",
        "VALIDATION",
    ],
)
def test_words_for_validation_and_the_fallback(word: str, tmp_path: Path) -> None:
    build(tmp_path, pets("train", word))
    images, found = read(f"imagefolder:{tmp_path}", tmp_path, "test")
    assert images.split == "validation"
    assert found == by_folder(*pets(word))


def test_splits_inside_classes(tmp_path: Path) -> None:
    root = build(tmp_path / "a", ["cat/Train/1.png", "cat/Test/2.png", "dog/Train/3.png"])
    images, found = read(f"imagefolder:{root}", root, "train")
    assert (images.split, found) == ("train", {"cat/Train/1.png": "cat", "dog/Train/3.png": "dog"})
    images, found = read(f"imagefolder:{root}", root, "test")
    assert (images.class_names, found) == (NAMES, {"cat/Test/2.png": "cat"})
    assert "no images here of 1 of 2 classes: dog" in images.notes
    root = build(tmp_path / "b", [f"{c}/{c}_{s}/1.png" for c in NAMES for s in ("train", "test")])
    assert read(f"imagefolder:{root}", root, "test")[1] == {
        "cat/cat_test/1.png": "cat",
        "dog/dog_test/1.png": "dog",
    }


UNDIVIDED = {
    "Caltech-101": (
        ["101_ObjectCategories/BACKGROUND_Google/1.jpg", *pets("101_ObjectCategories")],
        ("BACKGROUND_Google", "cat", "dog"),
        "the images are those in 101_ObjectCategories",
    ),
    "flowers": ([*pets("flower_photos"), "flower_photos/LICENSE.txt|x"], NAMES, "LICENSE.txt"),
    "Food-101": (
        [*pets("food-101/images"), "food-101/meta/train.txt|x", "food-101/meta/test.txt|x"],
        NAMES,
        "may tell splits are not read: food-101/meta/test.txt, food-101/meta/train.txt",
    ),
    "Stanford dogs": (
        [*pets("Images"), "Annotation/cat/n1|<xml>", "lists/l.mat|x"],
        NAMES,
        "Images",
    ),
    "CUB": (
        [*pets("images"), *pets("segmentations"), "train_test_split.txt|1 0"],
        NAMES,
        "may tell splits are not read: train_test_split.txt",
    ),
    "class called train": (
        ["plane/1.png", "ship/1.png", "train/1.png"],
        ("plane", "ship", "train"),
        "train: taken for a class beside others",
    ),
    "tube and station": (
        ["test tube/images/1.png", "train station/images/1.png"],
        ("test tube", "train station"),
        "the same images answer to every split",
    ),
    "breeds inside": (
        ["cat/siam/1.png", "cat/persian/1.png", "dog/1.png"],
        NAMES,
        "folders inside class folders count to the outer class: cat/persian, cat/siam",
    ),
    "BreakHis": (
        ["breast/benign/SOB/40X/1.png", "breast/malignant/SOB/40X/2.png"],
        ("benign", "malignant"),
        "count to the outer class: breast/benign/SOB, breast/malignant/SOB",
    ),
    "faces": (["Mask/1.png", "Non Mask/1.png"], ("Mask", "Non Mask"), "no split folders"),
    "recycling": (
        ["Recycled/1.png", "CVS/2.png", "validator/3.png"],
        ("CVS", "Recycled", "validator"),
        "no split folders",
    ),
    "one class": (["cat/1.png", "cat/2.png"], ("cat",), "all images are of one class, cat"),
    "numbers": ([f"{k}/1.png" for k in range(12)], tuple(sorted(map(str, range(12)))), "no split"),
    "two spellings of a letter": (
        ["caf\u00e9/1.png", "cafe\u0301/2.png", "tea/1.png"],
        ("caf\u00e9", "tea"),
        "the same images",
    ),
}


@pytest.mark.parametrize("layout", UNDIVIDED)
def test_undivided_sets_say_so(layout: str, tmp_path: Path) -> None:
    files, names, said = UNDIVIDED[layout]
    build(tmp_path, files)
    images = load_images(f"imagefolder:{tmp_path}", split="train")
    assert images.split == load_images(f"imagefolder:{tmp_path}").split == "all"
    assert images.class_names == names
    assert said in " ".join(images.notes)
    assert set(images.labels.tolist()) == set(range(len(names)))


REFUSED = {
    "splits named after classes": [f"{c}_{s}/1.png" for c in NAMES for s in ("train", "test")],
    "CycleGAN": [f"{s}{c}/1.png" for s in ("train", "test") for c in "AB"],
    "glued words": ["mnisttrain/1.png", "mnisttest/1.png"],
    "train beside extra": ["train/1.png", "extra/1.png"],
    "train beside train and val": ["train/1.png", "trainval/1.png"],
    "validation inside training": pets("train/train", "train/val", "test"),
    "Office-31": [f"{d}/images/{c}/1.png" for d in ("amazon", "dslr") for c in ("bag", "cup")],
    "Omniglot": pets("images_background", "images_evaluation"),
    "labelled and not": pets("train_unlabeled", "train_labeled", "test"),
    "train beside holdout": pets("train", "holdout"),
    "query and gallery": pets("query", "gallery"),
    "splits and more in a class": [f"{c}/{s}/1.png" for c in NAMES for s in ("train", "new")],
    "test inside training": ["train/test/1.png", "val/cat/1.png"],
    "splits below a class": ["cat/2020/train/1.png", "cat/2020/test/1.png", "dog/1.png"],
    "another split below a class": ["train/cat/test/1.png", "train/dog/1.png", "test/cat/1.png"],
    "two sets": pets("a/train", "a/test", "b/train", "b/test"),
    "MVTec": ["bottle/train/good/1.png", "bottle/test/bad/1.png", "cable/test/bad/1.png"],
    "a split in each part": ["p1/train/1.png", "p2/test/1.png"],
    "a picture beside a wrapper": ["logo.png", *pets("data/train", "data/test")],
    "one class in two cases": ["train/Cat/1.png", "train/dog/1.png", *pets("test")],
    "one class with and without a hyphen": [
        "train/a_b/1.png",
        "train/c/1.png",
        "test/a-b/1.png",
        "test/c/1.png",
    ],
    "few-shot": ["train/a/1.png", "val/b/1.png", "test/c/1.png"],
    "two training folders": pets("train", "Training", "test"),
    "folds": pets("fold1", "fold2"),
    "patients": ["p1/0/1.png", "p1/1/1.png", "p2/0/1.png", "p2/1/1.png"],
    "more than splits in a class": ["cat/train/1.png", "cat/2.png", "dog/train/1.png"],
    "images among classes": ["images/1.png", "labels/1.png", "cat/1.png"],
    "images beside flat splits": ["train/1.png", "test/2.png", "3.png"],
}


@pytest.mark.parametrize("layout", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(layout: str, tmp_path: Path) -> None:
    build(tmp_path, REFUSED[layout])
    for split in ("train", "test"):
        with pytest.raises(
            DataError, match=r"the layout is not understood: .*Expected SPLIT/CLASS"
        ):
            load_images(f"imagefolder:{tmp_path}", split=split)


def test_flat_splits_and_boxes_are_unlabelled_and_say_so(tmp_path: Path) -> None:
    files = ["images/train/1.png", "images/val/2.png", "labels/train/1.txt|0 1", "data.yaml|x"]
    build(tmp_path, files)
    images, found = read(f"imagefolder:{tmp_path}", tmp_path, "test")
    assert (images.split, found) == ("validation", {"images/val/2.png": None})
    assert re.search(
        "split validation have no class folders .*: they are unlabelled", images.notes[-1]
    )


def test_a_set_beside_itself_reads_the_folder_of_the_same_name(tmp_path: Path) -> None:
    build(tmp_path, ["img_align/img_align/1.jpg", "img_align/img_align/2.jpg"])
    images, found = read(f"imagefolder:{tmp_path}", tmp_path, "train")
    assert images.class_names == ()
    assert found == dict.fromkeys(["img_align/img_align/1.jpg", "img_align/img_align/2.jpg"])


def test_classes_that_training_lacks_are_said(tmp_path: Path) -> None:
    build(tmp_path, ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"])
    images, found = read(f"imagefolder:{tmp_path}", tmp_path, "test")
    assert images.class_names == ("a", "b", "c")
    assert found == by_folder("test/a/1.png", "test/c/1.png")
    assert "training has no images of 1 classes of this split: c" in images.notes
