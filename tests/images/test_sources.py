from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import list_sources, load_image_files, load_images
from tests.images.samples import encoded, picture, png, write_parquet


def test_embedded_default_is_balanced_and_gray() -> None:
    for split, count in (("train", 5000), ("test", 1000)):
        images = load_images("fashion-mini", split=split)
        assert len(images) == count
        assert images.split == split
        assert images.image_shape == (1, 28, 28)
        assert np.bincount(images.labels.numpy()).tolist() == [count // 10] * 10
    pixels, _, _ = images.batch(range(1000))
    assert float(pixels.min()) == 0.0
    assert float(pixels.max()) == 1.0
    assert 0.25 < float(pixels.mean()) < 0.32


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnist", "unknown source 'mnist'; expected one of fashion-mini, .*hub:NAME"),
        ("parquet:", "names no place; expected parquet:FILE"),
        ("imagefolder", "names no place"),
        ("fashion-mini:x", "expected plain fashion-mini"),
    ],
)
def test_sources_that_do_not_exist(source: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_images(source)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "a\0b"])
def test_names_that_no_file_can_have(name: str) -> None:
    for source in ("imagefolder", "cifar10", "parquet", "fashion-mnist", "hub"):
        with pytest.raises(DataError):
            load_images(f"{source}:{name}")
    with pytest.raises(DataError, match="no such image file"):
        load_image_files([name], image_shape=(3, 8, 8))


def test_selection_is_checked_before_anything_is_read() -> None:
    with pytest.raises(ConfigurationError, match="limit is 0"):
        load_images("hub:nobody/nothing", limit=0)
    with pytest.raises(ConfigurationError, match="stride is -1"):
        load_images("hub:nobody/nothing", stride=-1)
    with pytest.raises(ConfigurationError, match="image_size is 4097; expected from 1 to 4096"):
        load_images("fashion-mini", image_size=4097)
    with pytest.raises(ConfigurationError, match="expected sides up to 4096"):
        load_image_files([__file__], image_shape=(1, 8, 4097))
    with pytest.raises(ConfigurationError, match="image_size is 0"):
        load_images("hub:nobody/nothing", image_size=0)


def test_local_copies_of_named_sets(tmp_path: Path) -> None:
    data = tmp_path / "copy" / "data"
    data.mkdir(parents=True)
    write_parquet(data / "test-00000-of-00001.parquet", [png(size=(8, 8))], [3])
    train = write_parquet(data / "train-00000-of-00001.parquet", [png(size=(8, 8))] * 2, [1, 2])
    assert len(load_images(f"cifar10:{tmp_path / 'copy'}", split="train")) == 2
    assert load_images(f"cifar10:{train}", split="train").image_shape == (3, 8, 8)
    large = load_images(f"imagenet:{tmp_path / 'copy'}")
    assert (large.split, large.labels.tolist()) == ("test", [3])
    assert large.batch([0])[0].shape == (1, 3, 224, 224)
    assert load_images(f"imagenet:{tmp_path / 'copy'}", image_size=16).image_shape == (3, 16, 16)
    write_parquet(data / "validation-00000.parquet", [png()], [4])
    labelled = load_images(f"imagenet:{tmp_path / 'copy'}")
    assert (labelled.split, labelled.labels.tolist()) == ("validation", [4])
    assert load_images(f"cifar10:{tmp_path / 'copy'}").split == "test"
    folder = tmp_path / "folder" / "cat"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(png())
    assert load_images(f"cifar10:{folder.parent}").class_names == ("cat",)
    with pytest.raises(DataError, match=r"no such folder: .*nowhere.*uoft-cs/cifar10"):
        load_images(f"cifar10:{tmp_path / 'nowhere'}")


def test_image_files_take_the_shape_asked_for(tmp_path: Path) -> None:
    tall, gray = tmp_path / "tall.jpg", tmp_path / "gray.png"
    tall.write_bytes(encoded(picture(size=(30, 50)), "JPEG"))
    gray.write_bytes(png("L", size=(12, 8)))
    images = load_image_files([tall, str(gray)], image_shape=(3, 8, 12))
    pixels, labels, indices = images.batch([0, 1])
    assert pixels.shape == (2, 3, 8, 12)
    assert labels.tolist() == [-1, -1]
    assert indices.tolist() == [0, 1]
    wanted = torch.from_numpy(np.asarray(picture("L", size=(12, 8))).copy()).float() / 255
    assert torch.equal(pixels[1], wanted.expand(3, 8, 12))
    assert images[0].name == str(tall)
    assert load_image_files([tall], image_shape=(1, 4, 4))[0].image.shape == (1, 4, 4)
    assert len(images.fingerprint) == 64


def test_image_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such image file: .*x\.png"):
        load_image_files([tmp_path / "x.png"], image_shape=(3, 8, 8))
    with pytest.raises(DataError, match="no image files were given"):
        load_image_files([], image_shape=(3, 8, 8))
    with pytest.raises(ConfigurationError, match=r"image_shape is \(2, 8, 8\)"):
        load_image_files([tmp_path], image_shape=(2, 8, 8))
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.png: not a readable image"):
        load_image_files([tmp_path / "x.png"], image_shape=(3, 8, 8))[0]


def test_every_source_is_listed_with_a_sentence() -> None:
    sources = list_sources()
    assert {usage.split(":")[0].split("[")[0] for usage in sources} == {
        *("fashion-mini", "fashion-mnist", "cifar10", "imagenet"),
        *("parquet", "imagefolder", "csv", "hub"),
    }
    assert all(sources.values())
