from __future__ import annotations

import os
from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from tests.images.samples import png


def place(folder: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed=seed))
    return folder


def test_class_folders(tmp_path: Path) -> None:
    place(tmp_path, "dog/deep/2.png", "cat/b.PNG", "cat/a.png", "dog/1.png", ".hidden/x.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    images = load_images(f"imagefolder:{tmp_path}", split="train")
    assert images.split == "all"
    assert images.class_names == ("cat", "dog")
    names = [Path(item.name).relative_to(tmp_path).as_posix() for item in images]
    assert names == ["cat/a.png", "cat/b.PNG", "dog/1.png", "dog/deep/2.png"]
    assert images.labels.tolist() == [0, 0, 1, 1]


def test_split_folders_share_one_list_of_classes(tmp_path: Path) -> None:
    place(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "val/c/2.png", "other/x.txt")
    images = load_images(f"imagefolder:{tmp_path}")
    assert images.split == "validation"
    assert images.class_names == ("a", "b", "c")
    assert images.labels.tolist() == [2]
    assert len(load_images(f"imagefolder:{tmp_path}", split="train")) == 3


def test_classes_that_are_called_like_splits(tmp_path: Path) -> None:
    place(tmp_path, "train/1.png", "plane/1.png", "ship/1.png")
    images = load_images(f"imagefolder:{tmp_path}")
    assert images.class_names == ("plane", "ship", "train")


def test_images_without_class_folders_are_unlabelled(tmp_path: Path) -> None:
    place(tmp_path / "flat", "1.png", "2.png")
    flat = load_images(f"imagefolder:{tmp_path / 'flat'}")
    assert flat.class_names == ()
    assert flat[0].label is None
    place(tmp_path / "half", "train/a/1.png", "train/b/1.png", "test/9.png")
    half = load_images(f"imagefolder:{tmp_path / 'half'}")
    assert (half.split, half.class_names, half.labels.tolist()) == ("test", ("a", "b"), [-1])


def test_what_is_missing_or_out_of_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder: .*nowhere"):
        load_images(f"imagefolder:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images in .*empty"):
        load_images(f"imagefolder:{tmp_path / 'empty'}")
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no images in .*hollow"):
        load_images(f"imagefolder:{tmp_path / 'hollow'}")
    place(tmp_path / "stray", "cat/1.png", "2.png")
    with pytest.raises(DataError, match=r"2\.png lies beside the class folders"):
        load_images(f"imagefolder:{tmp_path / 'stray'}")
    place(tmp_path / "split", "train/cat/1.png", "train/dog/1.png")
    with pytest.raises(ConfigurationError, match="no split 'test'; there is train"):
        load_images(f"imagefolder:{tmp_path / 'split'}")
    with pytest.raises(ConfigurationError, match="unknown split 'tset'"):
        load_images(f"imagefolder:{tmp_path / 'stray'}", split="tset")


def test_file_names_that_are_not_text_are_read_and_class_names_are_refused(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/images/cat"
    os.makedirs(place)  # noqa: PTH103
    with open(place + b"/\xff.png", "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(png())
    images = load_images(f"imagefolder:{tmp_path / 'images'}")
    assert len(images.fingerprint) == 64
    assert images.batch([0])[0].shape == (1, 3, 4, 6)
    os.rename(place, os.fsencode(tmp_path) + b"/images/\xfe")  # noqa: PTH104
    with pytest.raises(DataError, match=r"class name '\\udcfe' is not Unicode"):
        load_images(f"imagefolder:{tmp_path / 'images'}")
