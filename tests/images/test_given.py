from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset

from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.images import ImageSet
from tests.images.layouts import POINTER, build, pets
from tests.images.samples import encoded, picture, png


class Items(Dataset[Any]):
    def __init__(self, items: Sequence[Any], **attributes: Any) -> None:
        self.items = items
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Any:
        return self.items[place]


PICTURES = [(picture(seed=seed), seed % 3) for seed in range(6)]
NAMES = ["emu", "cat", "dog"]


@pytest.mark.parametrize(
    ("dataset", "labels"),
    [
        (Items(PICTURES, classes=NAMES), [0, 1, 2, 0, 1, 2]),
        (Items(PICTURES, class_to_idx={"cat": 1, "dog": 2, "emu": 0}), [0, 1, 2, 0, 1, 2]),
        (Subset(Items(PICTURES, classes=NAMES), [5, 1]), [2, 1]),
        (Subset(Subset(Items(PICTURES, classes=NAMES), [5, 1, 0]), [2]), [0]),
        (
            ConcatDataset(
                [Items(PICTURES[:2], classes=NAMES), Items(PICTURES[2:3], classes=NAMES)]
            ),
            [0, 1, 2],
        ),
    ],
)
def test_classes_of_data_sets_and_of_parts_of_them(dataset: Any, labels: list[int]) -> None:
    images = ImageSet.from_dataset(dataset)
    assert (images.class_names, images.named) == (tuple(NAMES), True)
    assert images.labels.tolist() == labels
    found = images.matched(["cat", "dog", "emu"])
    assert [found.class_names[label] for label in found.labels.tolist()] == [
        NAMES[label] for label in labels
    ]
    assert images.split == "all"


def test_data_sets_of_different_classes_are_not_put_together() -> None:
    parts = [Items(PICTURES, classes=NAMES), Items(PICTURES, classes=["a", "b", "c"])]
    with pytest.raises(DataError, match="data sets with different classes are put together"):
        ImageSet.from_dataset(ConcatDataset(parts))


def test_labels_without_names_match_by_place_and_say_so() -> None:
    images = ImageSet.from_dataset(Items(PICTURES), split="test", source="mine")
    assert (images.class_names, images.named, images.split) == (("0", "1", "2"), False, "test")
    found = images.matched(NAMES)
    assert "taken for the classifier's classes in their order" in found.notes[-1]
    named = ImageSet.from_dataset(Items(PICTURES), class_names=NAMES)
    assert named.matched(NAMES[::-1]).labels.tolist() == [2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        ((np.zeros((4, 6), np.uint8), 0), (1, 4, 6)),
        ((np.zeros((4, 6, 3), np.uint8), np.int64(0)), (3, 4, 6)),
        ((torch.zeros(3, 4, 6, dtype=torch.uint8), torch.tensor(0)), (3, 4, 6)),
        ((torch.rand(1, 4, 6), None), (1, 4, 6)),
        (torch.rand(3, 4, 6), (3, 4, 6)),
        ((picture("RGBA"), 0), (3, 4, 6)),
        ((picture("LA"), 0), (1, 4, 6)),
    ],
)
def test_kinds_of_items(item: Any, shape: tuple[int, int, int]) -> None:
    images = ImageSet.from_dataset(Items([item, item]))
    assert images.image_shape == shape
    pixels, labels, _ = images.batch([0, 1])
    assert pixels.shape == (2, *shape)
    assert labels.tolist() in ([0, 0], [-1, -1])
    assert images[1].name == "dataset:Items item 1"
    assert len(images.fingerprint) == 64


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([], DataError, "no images"),
        ([("x.png", 0)], DataError, "item 0 is str; expected a PIL image"),
        ([{"image": 1}], DataError, "item 0 is dict"),
        ([(picture(), 0, 1)], DataError, "item 0 is tuple"),
        ([(picture(), "cat")], DataError, "label 'cat'; expected a whole number"),
        ([(picture(), 1.5)], DataError, r"label 1\.5"),
        ([(picture(), True)], DataError, "label True"),
        ([(picture(), -2)], DataError, "label -2"),
        ([(np.zeros((4, 6, 5), np.uint8), 0)], DataError, r"shape \(4, 6, 5\)"),
        ([(np.zeros((4, 6), np.int32), 0)], DataError, "is of int32"),
        ([(torch.full((3, 4, 6), 2.0), 0)], DataError, r"expected raw pixels in \[0, 1\]"),
        ([(torch.full((3, 4, 6), torch.nan), 0)], DataError, "expected raw pixels"),
        ([(picture(), 0), (torch.rand(3, 4, 6), 0)], DataError, "some images are bytes"),
        ([(torch.rand(3, 4, 6), 0), (torch.rand(3, 4, 5), 0)], ShapeError, "several shapes"),
        ([(picture(), 0), (picture(size=(7, 4)), 0)], DataError, "mixed sizes"),
    ],
)
def test_items_that_are_refused(items: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ImageSet.from_dataset(Items(items))


def test_other_things_that_are_no_data_set() -> None:
    with pytest.raises(DataError, match="expected a data set with a length and items; got int"):
        ImageSet.from_dataset(3)
    with pytest.raises(
        DataError, match=r"expected one split, a datasets\.Dataset; got DatasetDict"
    ):
        ImageSet.from_dataset(datasets.DatasetDict({"train": hugging([0])}))
    with pytest.raises(DataError, match="expected one split"):
        ImageSet.from_dataset(hugging([0]).to_iterable_dataset())
    with pytest.raises(DataError, match="label 2 is out of range"):
        ImageSet.from_dataset(Items(PICTURES), class_names=["a", "b"])
    with pytest.raises(ConfigurationError, match="two classes have the same name"):
        ImageSet.from_dataset(Items(PICTURES), class_names=["a", "a", "b"])


def hugging(labels: Sequence[Any], *, kind: Any = None) -> datasets.Dataset:
    feature = datasets.ClassLabel(names=NAMES) if kind is None else kind
    rows = {"image": [{"bytes": png(seed=s), "path": None} for s in range(len(labels))]}
    features = datasets.Features({"image": datasets.Image(), "label": feature})
    return datasets.Dataset.from_dict({**rows, "label": list(labels)}, features=features)


def identity(row: Any) -> Any:
    return row


@pytest.mark.parametrize(
    ("change", "order"),
    [
        (lambda d: d, [0, 1, 2, 3]),
        (lambda d: d.select([2, 0]), [2, 0]),
        (lambda d: d.shuffle(seed=0).select(range(3)), None),
        (lambda d: d.with_format("torch"), [0, 1, 2, 3]),
        (lambda d: d.with_format("numpy", columns=["image"]), [0, 1, 2, 3]),
        (lambda d: d.filter(lambda row: row["label"] == 2), [3]),
        (lambda d: datasets.concatenate_datasets([d, d.select([1])]), [0, 1, 2, 3, 1]),
        (lambda d: d.with_transform(identity), [0, 1, 2, 3]),
        (lambda d: d.cast_column("image", datasets.Image(decode=False)), [0, 1, 2, 3]),
        (lambda d: d.sort("label"), [1, 2, 0, 3]),
    ],
)
def test_hugging_face_data_sets(change: Any, order: list[int] | None) -> None:
    whole = hugging([1, 0, 0, 2])
    changed = change(whole)
    images = ImageSet.from_dataset(changed)
    if order is None:
        order = [whole["label"].index(0)] * 0 + list(
            whole.add_column("place", range(4)).shuffle(seed=0)["place"][:3]
        )
    wanted = ImageSet.from_dataset(whole)
    assert images.labels.tolist() == [[1, 0, 0, 2][place] for place in order]
    assert torch.equal(images.batch(range(len(order)))[0], wanted.batch(order)[0])
    assert images.class_names == tuple(NAMES)
    custom = changed.format["type"] == "custom"
    assert bool([note for note in images.notes if "transform is not applied" in note]) == custom


def test_hugging_face_labels_of_other_kinds() -> None:
    texts = ImageSet.from_dataset(hugging(["dog", "ant"], kind=datasets.Value("string")))
    assert (texts.class_names, texts.labels.tolist()) == (("ant", "dog"), [1, 0])
    numbers = ImageSet.from_dataset(hugging([3, 1], kind=datasets.Value("int64")))
    assert (numbers.class_names, numbers.named) == (("0", "1", "2", "3"), False)
    unknown = ImageSet.from_dataset(hugging([2, -1]))
    assert unknown.labels.tolist() == [2, -1]


def test_hugging_face_images_that_are_files(tmp_path: Path) -> None:
    root = build(tmp_path / "set", pets("train"))
    found = datasets.load_dataset("imagefolder", data_dir=str(root), cache_dir=str(tmp_path / "c"))
    images = ImageSet.from_dataset(found["train"])
    assert (images.class_names, images.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert images.batch([0, 1])[0].shape == (2, 3, 4, 6)
    turned = ImageSet.from_dataset(found["train"].select([1, 0]))
    assert torch.equal(turned[0].image, images[1].image)
    before = images.fingerprint
    (root / "train" / "cat" / "1.png").write_bytes(png(seed=9))
    assert ImageSet.from_dataset(found["train"]).fingerprint != before
    (root / "train" / "cat" / "1.png").unlink()
    with pytest.raises(DataError, match="an image cannot be read from its path"):
        ImageSet.from_dataset(found["train"])


def test_tensors() -> None:
    pixels = torch.arange(2 * 3 * 4 * 6, dtype=torch.uint8).reshape(2, 3, 4, 6)
    images = ImageSet.from_tensors(pixels, [1, None], class_names=["a", "b"], split="test")
    assert (images.split, images.labels.tolist()) == ("test", [1, -1])
    assert torch.equal(images.batch([0, 1])[0], pixels / 255)
    floats = ImageSet.from_tensors((pixels / 255).numpy(), torch.tensor([0, 1]))
    assert torch.equal(floats[1].image, pixels[1] / 255)
    assert (floats.class_names, floats.named) == (("0", "1"), False)
    gray = floats.with_channels(1)
    assert gray.batch([0])[0].shape == (1, 1, 4, 6)
    assert gray.with_channels(3).batch([0])[0].shape == (1, 3, 4, 6)
    assert len(floats.fingerprint) == 64
    assert floats.fingerprint != images.fingerprint


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (torch.zeros(2, 4, 6), None, ShapeError, "expected"),
        (torch.zeros(2, 2, 4, 6), None, ShapeError, "1 or 3 channels"),
        (torch.zeros(0, 3, 4, 6), None, DataError, "no images"),
        (torch.zeros(2, 3, 4, 6), [0], ShapeError, "2 images and 1 labels"),
        (torch.zeros(2, 3, 4, 6, dtype=torch.int32), None, DataError, "int32"),
        (torch.full((1, 3, 4, 6), -0.1), None, DataError, r"expected raw pixels in \[0, 1\]"),
        (torch.zeros(1, 3, 4, 6), ["cat"], DataError, "label 'cat'"),
    ],
)
def test_tensors_that_are_refused(
    images: Any, labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ImageSet.from_tensors(images, labels)
    with pytest.raises(ConfigurationError, match="float are not resized"):
        ImageSet.from_dataset(Items([torch.rand(3, 4, 6)]), image_size=8)


def test_files(tmp_path: Path) -> None:
    build(tmp_path, ["a", "b.txt", "c.jfif"])
    (tmp_path / "d.png").write_bytes(encoded(picture(), "BMP"))
    files: list[str | Path] = [tmp_path / "d.png", str(tmp_path / "a"), tmp_path / "b.txt"]
    images = ImageSet.from_files(files, [1, 0, None], class_names=["x", "y"])
    assert images.labels.tolist() == [1, 0, -1]
    assert [Path(item.name).name for item in images] == ["d.png", "a", "b.txt"]
    assert ImageSet.from_files(files, image_size=5).image_shape == (3, 5, 5)
    build(tmp_path, [f"p.png|{POINTER}", "t.png|text"])
    for name, message in (
        ("p.png", "a Git LFS pointer"),
        ("t.png", "no image; expected an image file"),
        ("none.png", "missing"),
        (".", "unreadable"),
    ):
        with pytest.raises(DataError, match=message):
            ImageSet.from_files([tmp_path / name])
    with pytest.raises(DataError, match="no image files were given"):
        ImageSet.from_files([])
    with pytest.raises(ShapeError, match="1 files and 2 labels"):
        ImageSet.from_files([tmp_path / "a"], [0, 1])
    with pytest.raises(ConfigurationError, match="image_size is 0"):
        ImageSet.from_files([tmp_path / "a"], image_size=0)
