"""Classifiers inside the package: found by name, what their cards say, and for newcomers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from scipy.stats import binom

from latentsmooth.cli.main import main
from latentsmooth.errors import ConfigurationError
from latentsmooth.images import load_images
from latentsmooth.models import LatentSmoothedClassifier, build, list_packaged
from latentsmooth.models.packaged_names import packaged_folder
from latentsmooth.records import read_log

NAME = "packaged:fashion-mnist"
FEW = ["--n-estimate=300", "--executor=eager", "--batch-size=50"]
RENEW = "certify it and run `python scripts/model_card.py NAME --log LOG`"


def front_matter(name: str) -> dict[str, Any]:
    text = (packaged_folder(name) / "README.md").read_text("utf-8")
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_hub(*arguments: object, **named: object) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_hub)


def test_weights_are_few_enough_for_a_wheel() -> None:
    assert NAME in list_packaged()
    files = [path for name in list_packaged() for path in packaged_folder(name).iterdir()]
    assert {path.name for path in files} == {"README.md", "config.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 2_000_000


@pytest.mark.parametrize("name", list_packaged())
def test_cards_are_about_the_weights_beside_them(name: str) -> None:
    model, front = LatentSmoothedClassifier.from_pretrained(name), front_matter(name)
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "latentsmooth"
    stated = front["latentsmooth"]
    assert stated["fingerprint"] == model.fingerprint, RENEW
    assert stated["latent_sigma"] == model.latent_sigma
    assert stated["lipschitz_bound"] == model.lipschitz_bound
    assert f"predict {name}" in (packaged_folder(name) / "README.md").read_text("utf-8")
    config = (packaged_folder(name) / "config.json").read_text("utf-8")
    assert re.findall(r"[\s\"=:](?:~|\.\.?)?/\w[^\"]*", config) == []


def test_the_accuracy_on_the_card_is_found_again() -> None:
    [metric, *_] = front_matter(NAME)["model-index"][0]["results"][0]["metrics"]
    assert metric["name"] == "certified accuracy at l2 radius 0"
    model, images = LatentSmoothedClassifier.from_pretrained(NAME), load_images("fashion-mini")
    pixels, labels, _ = images.batch(range(0, 1000, 32))
    made = model.certify(pixels, n_select=50, n_estimate=10, executor="eager", batch_size=60)
    right = sum(each.candidate == label for each, label in zip(made, labels.tolist(), strict=True))
    # So few right answers are met once in 10,000 draws of so many images.
    assert right >= binom.ppf(1e-4, len(made), metric["value"] / 100)


@pytest.mark.parametrize(
    "name", ["packaged:", "packaged:fashion", "packaged:../packaged", NAME + "/"]
)
def test_other_names_are_answered_by_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no classifier is called .*; known: {NAME}"):
        LatentSmoothedClassifier.from_pretrained(name)


def test_a_folder_of_a_packaged_name_does_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = build("lenet", num_classes=2, image_shape=(1, 8, 8), width=0.25, latent_sigma=0.5)
    other.save_pretrained(NAME)
    assert LatentSmoothedClassifier.from_pretrained(NAME).image_shape == (1, 28, 28)
    assert LatentSmoothedClassifier.from_pretrained(f"./{NAME}").image_shape == (1, 8, 8)


def test_commands_take_the_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    assert main(["certify", NAME, "fashion-mini", f"--log={log}", "--limit=2", *FEW]) == 0
    manifest, certificates = read_log(log)
    assert manifest.model_name == NAME
    assert manifest.artifact_hash == front_matter(NAME)["latentsmooth"]["fingerprint"]
    assert len(certificates) == 2
    config = packaged_folder(NAME) / "config.json"
    assert main(["audit", NAME, f"--output={config}", "--iterations=0"]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert main(["audit", "packaged:none"]) == 1
    assert f"known: {NAME}" in capsys.readouterr().err


def predictions(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["predict", NAME, *words, "--json", *FEW]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_takes_images_of_the_package_beside_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load_images("fashion-mini", split="test")
    path, item = tmp_path / "negative.png", images[7]
    pixels = (255 * (1 - item.image[0])).round().to(torch.uint8)
    Image.fromarray(pixels.numpy()).convert("RGB").save(path)
    [example] = predictions(capsys, "fashion-mini:7")
    assert item.label is not None
    assert example["label"] == images.class_names[item.label]
    [negative] = predictions(capsys, str(path), "--negative")
    assert negative["votes"] == example["votes"]
    assert "label" not in negative
    assert negative["shape"] == [3, 28, 28]
    names = [
        each["image"] for each in predictions(capsys, "fashion-mini:1", str(path), "fashion-mini:0")
    ]
    assert names == ["fashion-mini:1", str(path), "fashion-mini:0"]
    # A file of that name is the user's.
    monkeypatch.chdir(tmp_path)
    path.rename("fashion-mini:7")
    assert predictions(capsys, "fashion-mini:7", "--negative")[0]["votes"] == negative["votes"]


def test_predict_says_what_became_of_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        Image.new("RGB", (40 + number, 30)).save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(7)]
    assert main(["predict", NAME, *paths, "fashion-mini:3", "--negative", *FEW]) == 0
    said = capsys.readouterr().out
    assert "0.png: 30x40 RGB, brought to 28x28 gray; the certificate is about that" in said
    assert said.count("brought to") == 5
    assert "2 images of other sizes likewise." in said
    assert "Of every file the negative was taken." in said
    assert "truly" in said


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        (NAME, "fashion-mini:1000", "wanted fashion-mini:0 to :999, got fashion-mini:1000"),
        (NAME, "fashion-mini:x", "no such image file: fashion-mini:x"),
        ("small", "fashion-mini:1", "are 28x28 gray, this classifier takes 8x8 RGB: give it image"),
    ],
)
def test_examples_that_are_not_there(
    model: str, image: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if model == "small":
        made = build("lenet", num_classes=2, image_shape=(3, 8, 8), width=0.25, latent_sigma=0.5)
        model = str(made.save_pretrained(tmp_path))
    assert main(["predict", model, image]) in (1, 2)
    assert message in capsys.readouterr().err
