from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from tests.images.samples import png


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """Stands for the hub: the name asked for, and two splits of two rows."""
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"img": [{"bytes": png(seed=s), "path": None} for s in (1, 2)], "label": [1, -1]}
    part = datasets.Dataset.from_dict(rows, features=features)
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*arguments: Any) -> Any:
        asked.append(arguments)
        return datasets.DatasetDict({"train": part, "validation": part})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.chdir(tmp_path)
    return asked


def test_a_set_on_the_hub(hub: list[tuple[Any, ...]]) -> None:
    images = load_images("hub:someone/animals:small")
    assert hub == [("someone/animals", "small")]
    assert (images.split, images.class_names) == ("validation", ("cat", "dog"))
    assert images.image_shape == (3, 4, 6)
    assert [item.label for item in images] == [1, None]
    assert images[0].name == "hub:someone/animals:small validation row 0"
    assert images.fingerprint == load_images("hub:someone/animals:small").fingerprint
    train = load_images("hub:someone/animals:small", split="train")
    assert train.fingerprint != images.fingerprint
    with pytest.raises(ConfigurationError, match="no split 'extra'; there is train, validation"):
        load_images("hub:someone/animals", split="extra")


def test_names_of_cifar10_and_imagenet(hub: list[tuple[Any, ...]]) -> None:
    assert load_images("cifar10", split="train").source == "cifar10"
    load_images("cifar10:me/my-cifar10", split="train")
    assert load_images("imagenet").image_shape == (3, 224, 224)
    assert [name for name, _ in hub] == ["uoft-cs/cifar10", "me/my-cifar10", "ILSVRC/imagenet-1k"]


def test_a_failure_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: Any) -> Any:
        raise ConnectionError("Couldn't reach the Hub\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"no local folder a/b\): Couldn't reach the Hub \(Conn"):
        load_images("hub:a/b")
    for name in ("../up", "a/..", "a/../b", "a/b:..", "a/b\n", "é/b"):
        with pytest.raises(DataError, match="not a name on the hub"):
            load_images(f"hub:{name}")
