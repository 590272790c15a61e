"""Image sets of what a program has already: tensors, files, data sets of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from latentsmooth.errors import ConfigurationError, DataError, LatentSmoothError, ShapeError
from latentsmooth.images import ImageSet, as_image_set, fit_images
from tests.images.samples import encoded, picture, png

BYTES = torch.arange(2 * 3 * 4 * 6, dtype=torch.uint8).reshape(2, 3, 4, 6)


class Items:
    """A data set of whatever it is given."""

    def __init__(self, items: Sequence[Any], classes: Sequence[str] | None = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Any:
        return self.items[place]


def test_tensors_of_bytes_and_of_floats() -> None:
    labels: list[int | None] = [1, None]
    of_bytes = ImageSet.from_tensors(BYTES, labels, class_names=["a", "b"], split="test")
    of_floats = ImageSet.from_tensors(BYTES.double() / 255, torch.tensor([1, -1]))
    for images in (of_bytes, of_floats):
        pixels, found, indices = images.batch([1, 0])
        assert torch.equal(pixels, (BYTES.float() / 255)[[1, 0]])
        assert (found.tolist(), indices.tolist()) == ([-1, 1], [1, 0])
        assert torch.equal(images[1].image, pixels[0])
        assert images.image_shape == (3, 4, 6)
    assert (of_bytes.class_names, of_bytes.split, of_bytes.named) == (("a", "b"), "test", True)
    assert (of_floats.class_names, of_floats.named) == (("0", "1"), False)
    assert of_bytes.fingerprint != of_floats.fingerprint
    assert of_floats[0].name == of_floats[0].record_name == "tensors item 0"


def test_floats_are_kept_and_not_rounded_to_bytes() -> None:
    pixels = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    images = ImageSet.from_tensors(pixels.numpy())
    assert torch.equal(images.batch(range(3))[0], pixels)
    assert torch.equal(images.with_channels(3).batch([0])[0], pixels[:1].expand(1, 3, 4, 4))
    colour = ImageSet.from_tensors(pixels.expand(3, 3, 4, 4))
    assert torch.allclose(colour.with_channels(1).batch(range(3))[0], pixels, atol=1e-6)
    # What a caller does to a batch is not done to the set.
    images.batch([0])[0].zero_()
    assert torch.equal(images.batch([0])[0], pixels[:1])


def test_gray_and_colour_become_each_other_as_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    array = np.asarray(picture()).transpose(2, 0, 1)[None]
    of_tensor = ImageSet.from_tensors(array).with_channels(1)
    of_file = ImageSet.from_files([tmp_path / "a.png"]).with_channels(1)
    assert torch.equal(of_tensor[0].image, of_file[0].image)
    assert len({of_tensor.fingerprint, ImageSet.from_tensors(array).fingerprint}) == 2
    with pytest.raises(ShapeError, match="channels is 2"):
        of_file.with_channels(2)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 4, 4), None, r"shape \(2, 4, 4\); expected \(images, 1 or 3"),
        (torch.zeros(2, 2, 4, 4), None, "1 or 3 channels"),
        (torch.zeros(0, 3, 4, 4), None, "no images"),
        (torch.zeros(2, 3, 4, 4), [1], "2 images and 1 labels"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), None, "expected uint8, or floats"),
        (torch.full((1, 3, 4, 4), 2.0), None, "from 2 to 2; expected raw pixels"),
        (torch.full((1, 3, 4, 4), float("nan")), None, "expected raw pixels"),
        (torch.full((1, 3, 4, 4), -0.5), None, "leave out the normalisation"),
        (torch.zeros(1, 3, 4, 4), [0.5], "label 0.5; expected a whole number"),
        (torch.zeros(1, 3, 4, 4), [True], "label True"),
        (torch.zeros(1, 3, 4, 4), [-2], "label -2"),
    ],
)
def test_tensors_that_cannot_be_used(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(LatentSmoothError, match=message):
        ImageSet.from_tensors(images, labels)


def test_labels_and_names_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="label 2 is out of range"):
        ImageSet.from_tensors(BYTES, [0, 2], class_names=["a", "b"])
    with pytest.raises(ConfigurationError, match="two classes have the same name"):
        ImageSet.from_tensors(BYTES, [0, 1], class_names=["a", "a"])
    with pytest.raises(DataError, match="of type float have no encoded form"):
        ImageSet.from_tensors(BYTES / 255.0)._rows.read(0)


def test_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b"]
    paths[0].write_bytes(png(seed=1))
    paths[1].write_bytes(encoded(picture(size=(12, 8)), "JPEG"))
    images = ImageSet.from_files(paths, [1, None], class_names=["x", "y"], image_size=4)
    assert (images.image_shape, images.labels.tolist()) == ((3, 4, 4), [1, -1])
    assert images[0].record_name == "a.png"
    with pytest.raises(DataError, match="mixed sizes"):
        ImageSet.from_files(paths)
    with pytest.raises(ShapeError, match="2 files and 1 labels"):
        ImageSet.from_files(paths, [1])
    with pytest.raises(DataError, match="no image files were given"):
        ImageSet.from_files([])
    with pytest.raises(DataError, match="missing; expected an image file"):
        ImageSet.from_files([tmp_path / "gone.png"])
    with pytest.raises(ConfigurationError, match="image_size is 0"):
        ImageSet.from_files(paths, image_size=0)


ARRAY = np.asarray(picture())
GRAY = np.asarray(picture("L"))


@pytest.mark.parametrize(
    ("items", "shape"),
    [
        ([(picture(), 1), (picture("L"), 0)], (3, 4, 6)),
        ([picture("L"), picture("1")], (1, 4, 6)),
        ([(picture("P"), 0), (picture("RGBA"), 1)], (3, 4, 6)),
        ([(ARRAY, 0), (ARRAY.transpose(2, 0, 1), 1)], (3, 4, 6)),
        ([GRAY, GRAY[..., None], GRAY[None]], (1, 4, 6)),
        ([(torch.from_numpy(ARRAY.transpose(2, 0, 1).copy()), torch.tensor(1))], (3, 4, 6)),
        ([(torch.from_numpy(ARRAY.transpose(2, 0, 1) / 255.0), np.int64(0))], (3, 4, 6)),
        ([[GRAY / 255.0, 3], [GRAY / 255.0, None]], (1, 4, 6)),
    ],
)
def test_items_of_any_kind(items: list[Any], shape: tuple[int, int, int]) -> None:
    images = ImageSet.from_dataset(Items(items))
    assert images.image_shape == shape
    assert len(images) == len(items)
    assert images.source == "dataset:Items"
    wanted = ARRAY if shape[0] == 3 else GRAY
    first = items[0][0] if isinstance(items[0], (tuple, list)) else items[0]
    if not isinstance(first, Image.Image) or first.mode in ("L", "RGB"):  # palettes are others
        found = images[0].image.permute(1, 2, 0).numpy() * 255
        assert np.abs(found.squeeze() - wanted).max() < 1e-4
    with pytest.raises(IndexError):
        images[len(items)]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no images"),
        (["a.png"], "item 0 is str; expected a PIL image"),
        ([(ARRAY, "cat")], "label 'cat'"),
        ([np.zeros((2, 5, 5, 3), np.uint8)], "has shape"),
        ([np.zeros((5, 5), np.int32)], "is of int32"),
        ([GRAY, GRAY / 255.0], "some images are bytes and some floats"),
        ([GRAY / 255.0, GRAY[1:] / 255.0], "images of several shapes"),
        ([GRAY, GRAY[1:]], "mixed sizes"),
    ],
)
def test_items_that_cannot_be_used(items: list[Any], message: str) -> None:
    with pytest.raises(LatentSmoothError, match=message):
        ImageSet.from_dataset(Items(items))


def test_classes_of_a_data_set_are_its_names_unless_others_are_given() -> None:
    items = [(GRAY, 0), (GRAY, 1)]
    assert ImageSet.from_dataset(Items(items, ["x", "y"])).class_names == ("x", "y")
    assert ImageSet.from_dataset(Items(items, ["x", "y"]), class_names=["p", "q", "r"]).named
    assert not ImageSet.from_dataset(Items(items)).named
    resized = ImageSet.from_dataset(Items([(GRAY, 0), (GRAY[1:], 1)]), image_size=3)
    assert resized.image_shape == (1, 3, 3)
    with pytest.raises(ConfigurationError, match="resize them before"):
        ImageSet.from_dataset(Items([GRAY / 255.0]), image_size=3)
    with pytest.raises(DataError, match="expected a data set with a length and items"):
        ImageSet.from_dataset(iter(items))


def test_hugging_face_data_sets() -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    table = {"image": [picture(seed=seed) for seed in range(3)], "label": ["b", "a", "b"]}
    whole = datasets.Dataset.from_dict(table, features=features)
    images = ImageSet.from_dataset(whole, source="pets", split="test")
    assert (images.class_names, images.labels.tolist()) == (("a", "b"), [1, 0, 1])
    part = ImageSet.from_dataset(whole.select([2, 1]).with_format("numpy"))
    assert part.labels.tolist() == [1, 0]
    assert torch.equal(part[0].image, images[2].image)
    assert part.fingerprint != images.fingerprint
    with pytest.raises(DataError, match=r"one split, a datasets.Dataset; got DatasetDict"):
        ImageSet.from_dataset(datasets.DatasetDict({"train": whole}))


def test_a_set_is_fitted_once() -> None:
    images = ImageSet.from_tensors(BYTES, [0, 1], class_names=["a", "b"])
    assert as_image_set(images) is images
    fitted = fit_images(images, image_shape=(3, 4, 6), class_names=("a", "b"))
    assert fitted is images
    other = fit_images(images, image_shape=(1, 4, 6), class_names=("b", "c", "a"))
    assert other.labels.tolist() == [2, 0]
    assert fit_images(other, image_shape=(1, 4, 6), class_names=("b", "c", "a")) is other
    with pytest.raises(ShapeError, match="takes images of shape"):
        fit_images(images, image_shape=(3, 8, 8), class_names=("a", "b"))
