"""Labels by name: over the parts of a set, and between a set and a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.images.classes import match_classes
from tests.images.samples import png, write_parquet


def write(path: Path, labels: Sequence[object], names: list[str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, [png(seed=seed) for seed in range(len(labels))], labels, names=names)


def by_name(images: ImageSet) -> list[str | None]:
    return [None if item.label is None else images.class_names[item.label] for item in images]


def load(folder: Path, split: str) -> ImageSet:
    return load_images(f"cifar10:{folder}", split=split)


@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_texts_of_all_parts_are_the_classes(split: str, tmp_path: Path) -> None:
    parts: dict[str, list[str | None]] = {
        "train": ["emu", "cat", "dog"],
        "test": ["dog", None, "cat"],
        "validation": ["yak"],
    }
    for name, labels in parts.items():
        write(tmp_path / f"{name}.parquet", labels)
    images = load(tmp_path, split)
    assert images.class_names == ("cat", "dog", "emu", "yak")
    assert by_name(images) == parts[split]


@pytest.mark.parametrize("split", ["train", "test"])
def test_declared_names_in_another_order_or_of_fewer_classes(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train" / "0.parquet", [2, 0, 1], ["emu", "cat", "dog"])
    write(tmp_path / "test" / "0.parquet", [0, 1, -1], ["dog", "emu"])
    images = load(tmp_path, split)
    assert images.class_names == ("emu", "cat", "dog")
    assert by_name(images) == {"train": ["dog", "emu", "cat"], "test": ["dog", "emu", None]}[split]


@pytest.mark.parametrize("split", ["train", "test"])
def test_declared_names_and_texts_are_the_same_classes(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [1, 0], ["emu", "cat"])
    write(tmp_path / "test.parquet", ["cat", "ant"])
    images = load(tmp_path, split)
    assert images.class_names == ("emu", "cat", "ant")
    assert by_name(images) == {"train": ["cat", "emu"], "test": ["cat", "ant"]}[split]


@pytest.mark.parametrize("split", ["train", "test"])
def test_numbers_without_names_count_over_all_parts(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [0, 4, 1])
    write(tmp_path / "test.parquet", [2, 0])
    images = load(tmp_path, split)
    assert images.class_names == ("0", "1", "2", "3", "4")
    assert images.labels.tolist() == {"train": [0, 4, 1], "test": [2, 0]}[split]
    assert not images.named


def test_numbers_beside_declared_names_are_places_among_them(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [1, 0], ["emu", "cat"])
    write(tmp_path / "test.parquet", [1, 0])
    assert by_name(load(tmp_path, "test")) == ["cat", "emu"]
    write(tmp_path / "test.parquet", [2])
    with pytest.raises(DataError, match="numbers without names for labels, up to 2"):
        load(tmp_path, "test")


def test_numbers_beside_texts_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", ["emu", "cat"])
    write(tmp_path / "test.parquet", [1, 0])
    for split in ("train", "test"):
        with pytest.raises(DataError, match="expected the same kind of labels"):
            load(tmp_path, split)


def test_a_part_without_labels_has_the_others_classes(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", ["emu", "cat"])
    write_parquet(tmp_path / "test.parquet", [png()])
    images = load(tmp_path, "test")
    assert (images.class_names, by_name(images)) == (("cat", "emu"), [None])


def test_splits_on_the_hub_share_their_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        name: datasets.Dataset.from_dict(
            {"image": [{"bytes": png(), "path": None}] * len(labels), "label": labels},
            features=datasets.Features(
                {"image": datasets.Image(), "label": datasets.Value("string")}
            ),
        )
        for name, labels in {"train": ["b", "c", "a"], "test": ["c"]}.items()
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(parts))
    images = load_images("hub:a/b", split="test")
    assert (images.class_names, images.labels.tolist()) == (("a", "b", "c"), [2])


def matched(theirs: list[str], ours: list[str], *, named: bool = True, **options: str) -> list[int]:
    mapping = match_classes(
        theirs,
        ours,
        named=named,
        present=np.arange(len(theirs)),
        source="set",
        **options,  # type: ignore[arg-type]
    )
    return [int(label) for label in mapping.labels]


def test_numbers_as_names_are_names() -> None:
    ours = [str(number) for number in range(12)]
    assert matched(sorted(ours), ours) == sorted(range(12), key=str)
    assert matched(["7", "3"], ours) == [7, 3]
    with pytest.raises(ConfigurationError, match="none in common"):
        matched(["0", "1"], ["cat", "dog"])


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (["cat", "emu"], ["cat", "dog"], r"1 images of classes .*: emu; it knows cat, dog"),
        (["Cat", "dog"], ["cat", "dog"], r"Cat \(did they mean 'cat'\?\)"),
        (["a", "b"], ["x", "y"], "none in common"),
        (["a", "b"], ["0", "1", "2"], "have numbers for names, and set has 2"),
        (["a", "b", "c", "d"], ["0", "1", "2"], "expected as many"),
    ],
)
def test_classes_that_do_not_match(theirs: list[str], ours: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        matched(theirs, ours)


def test_a_class_without_images_need_not_be_known() -> None:
    mapping = match_classes(
        ["cat", "emu"], ["cat"], named=True, present=np.array([0, 0, -1]), source="set"
    )
    assert mapping.apply(np.array([0, 0, -1])).tolist() == [0, 0, -1]
    assert mapping.notes == ()


def test_labels_beyond_the_classifiers_are_unknown_too() -> None:
    with pytest.raises(ConfigurationError, match="does not know: 2"):
        matched(["0", "1", "2"], ["cat", "dog"], named=False)
    assert matched(["0", "1", "2"], ["cat", "dog"], named=False, unknown="unlabelled") == [0, 1, -1]
