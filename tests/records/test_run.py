"""What is certified into a log: sets and data sets of any kind, as a classifier takes them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from latentsmooth.attacks import AttackSettings, attack_log
from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import certify_to_log, read_log
from latentsmooth.training import TrainingSettings, train

NAMES = ("bird", "cat", "dog")


class Brightest(nn.Module):
    """Logits of the first pixel of each of three rows: class k where row k is the brightest."""

    def forward(self, latents: Tensor) -> Tensor:
        return latents.mean(1)[:, :3, 0] * 50


def classifier(
    names: tuple[str, ...] = NAMES, channels: int = 3, head: nn.Module | None = None
) -> LatentSmoothedClassifier:
    return LatentSmoothedClassifier(
        nn.Identity(),
        Brightest() if head is None else head,
        image_shape=(channels, 4, 4),
        class_names=names,
        latent_sigma=0.25,
    )


def pixels(labels: list[int], channels: int = 3) -> Tensor:
    """Images that the classifier above gets right: row k is white."""
    images = torch.zeros(len(labels), channels, 4, 4, dtype=torch.uint8)
    for place, label in enumerate(labels):
        images[place, :, label] = 255
    return images


def certify(
    model: LatentSmoothedClassifier, images: object, path: Path, **options: str
) -> list[int | None]:
    made = certify_to_log(model, images, path, n_estimate=100, **options)  # type: ignore[arg-type]
    assert all(each.prediction == each.label for each in made if each.label is not None)
    return [each.label for each in made]


class Pets(Dataset[tuple[Image.Image, int]]):
    classes = ("dog", "cat")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> tuple[Image.Image, int]:
        of_ours = NAMES.index(self.classes[place])
        return Image.fromarray(pixels([of_ours])[0].permute(1, 2, 0).numpy()), place


def test_a_torch_data_set_is_matched_by_name(tmp_path: Path) -> None:
    assert certify(classifier(), Pets(), tmp_path / "log") == [2, 1]
    manifest, _ = read_log(tmp_path / "log")
    assert manifest.data_source == "dataset:Pets"
    assert manifest.class_names == NAMES


def test_a_hugging_face_data_set_is_followed_in_its_order(tmp_path: Path) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "bird"])}
    )
    images = [Image.fromarray(pixels([k])[0].permute(1, 2, 0).numpy()) for k in (2, 0, 2)]
    whole = datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0]}, features=features)
    assert certify(classifier(), whole, tmp_path / "whole") == [2, 0, 2]
    assert certify(classifier(), whole.select([1, 2]), tmp_path / "part") == [0, 2]


def test_certify_and_predict_take_data_sets_too() -> None:
    model = classifier()
    made = model.certify(Pets(), n_estimate=100)
    assert [(each.label, each.prediction, each.name) for each in made] == [
        (2, 2, "dataset:Pets item 0"),
        (1, 1, "dataset:Pets item 1"),
    ]
    images = ImageSet.from_tensors(pixels([0, 1]), [0, 1], class_names=NAMES).subset(stride=2)
    assert [each.prediction for each in model.predict(images, n_samples=50)] == [0]
    with pytest.raises(ConfigurationError, match="labels of its own"):
        model.certify(images, labels=[1])


def test_unknown_classes_are_refused_or_unlabelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = ImageSet.from_tensors(pixels([0, 1]), [0, 1], class_names=["emu", "cat"])
    with pytest.raises(
        ConfigurationError, match=r"1 images of classes .* know: emu; it knows bird"
    ):
        certify(classifier(), images, tmp_path / "log")
    labels = certify(classifier(), images, tmp_path / "log", unknown_classes="unlabelled")
    assert labels == [None, 1]
    assert "1 images of classes that the classifier does not know count as unlabelled: emu" in (
        caplog.text
    )
    with pytest.raises(ConfigurationError, match="none in common"):
        certify(classifier(("a", "b", "c")), images, tmp_path / "other")


def test_numbers_for_names_are_matched_by_place_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = ImageSet.from_tensors(pixels([2, 0]), [2, 0], class_names=["x", "y", "z"])
    assert certify(classifier(("0", "1", "2")), named, tmp_path / "a") == [2, 0]
    assert "matched by place (0 x, 1 y, 2 z)" in caplog.text
    caplog.clear()
    # A part without the highest class, of labels that are numbers without names.
    bare = ImageSet.from_tensors(pixels([1]), [1])
    assert certify(classifier(("0", "1", "2")), bare, tmp_path / "b") == [1]
    assert not caplog.text
    assert certify(classifier(), bare, tmp_path / "c") == [1]
    assert "taken for the classifier's classes in their order (0 bird, 1 cat, 2 dog)" in caplog.text
    two = ImageSet.from_tensors(pixels([1]), [1], class_names=["x", "y"])
    with pytest.raises(ConfigurationError, match=r"numbers for names, and .* has 2"):
        certify(classifier(("0", "1", "2")), two, tmp_path / "d")


def test_gray_and_colour_are_converted_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gray = ImageSet.from_tensors(pixels([1, 2], channels=1), [1, 2], class_names=NAMES)
    assert certify(classifier(), gray, tmp_path / "a") == [1, 2]
    assert "gray images become RGB" in caplog.text
    floats = ImageSet.from_tensors(pixels([1, 2]).float() / 255, [1, 2], class_names=NAMES)
    assert certify(classifier(channels=1), floats, tmp_path / "b") == [1, 2]
    assert "colours become gray" in caplog.text
    manifest, _ = read_log(tmp_path / "a")
    assert manifest.data_hash not in (gray.fingerprint, floats.fingerprint)
    with pytest.raises(ShapeError, match="image_size"):
        certify(classifier(), load_images("fashion-mini", limit=2), tmp_path / "c")


def test_training_validation_and_attack_take_data_sets_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    model = classifier(head=head)
    training = ImageSet.from_tensors(
        pixels([0, 1, 2] * 8), [2, 1, 0] * 8, class_names=["dog", "cat", "bird"]
    )
    settings = TrainingSettings(
        epochs=6, batch_size=8, learning_rate=0.05, augment=False, device="cpu", precision="float32"
    )
    summary = train(
        model,
        training,
        settings=settings,
        output=tmp_path / "run",
        validation=Pets(),
        progress=False,
    )
    assert summary.validation is not None
    assert summary.validation["smoothed_accuracy"] == 1.0
    certify(model, training, tmp_path / "log")
    assert "trained on these very images" in caplog.text
    certify(model, Pets(), tmp_path / "pets")
    report = attack_log(tmp_path / "pets", model, Pets(), AttackSettings(steps=2, draws=2))
    assert len(report.images) == 2


def test_notes_and_selection_are_in_the_log(tmp_path: Path) -> None:
    for place, name in enumerate(("cat", "dog")):
        for number in range(8):
            file = tmp_path / "set" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4, 3), 9 * number + place, np.uint8)).save(file)
    (tmp_path / "set" / "cat" / "notes.txt").write_text("no image")
    images = load_images(f"imagefolder:{tmp_path / 'set'}", limit=4, stride=2)
    certify_to_log(classifier(), images, tmp_path / "log", n_estimate=20)
    first, second = (tmp_path / "log").read_text().splitlines()[:2]
    manifest = json.loads(first)
    assert manifest["data_selection"] == {"of": 16, "limit": 4, "stride": 2}
    assert any("notes.txt" in note for note in manifest["data_notes"])
    assert any("--stride 4" in note for note in manifest["data_notes"])
    assert json.loads(second)["name"] == "cat/0.png"


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "latentsmooth.images")
