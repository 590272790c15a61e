"""Names from model folders and image folders that try to steer the terminal."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import torch
from PIL import Image

from latentsmooth.cli.main import main
from latentsmooth.models import build

ESCAPE = "\x1b[2J\x1b]0;owned\x07"
HOSTILE = (f"{ESCAPE}[red]cat[/red]", "\u202egod\u2066", "<b>x</b>\nlatentsmooth: all is well\r")
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def steering(text: str) -> set[str]:
    return {letter for letter in text if unicodedata.category(letter) in STEERING} - {"\n"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = build(
        "lsrs-lenet",
        num_classes=3,
        image_shape=(3, 8, 8),
        width=0.1,
        latent_sigma=0.25,
        class_names=HOSTILE,
    )
    return made.save_pretrained(tmp_path_factory.mktemp("hostile") / "model")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number, name in enumerate(HOSTILE):
        folder = tmp_path / "images" / name.replace("/", "_")
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(folder / f"{ESCAPE}.png")
    return tmp_path / "images"


def test_predictions_show_names_defused(
    model: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(map(str, images.rglob("*.png")))
    words = ["predict", str(model), *files, "--n-estimate=200", "--alpha=.4"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert not steering(shown.out + shown.err)
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr().out
    assert not steering(printed)
    assert len(printed.splitlines()) == len(files)
    for line in printed.splitlines():
        assert json.loads(line)["class"] in (None, *HOSTILE)


def test_errors_and_tracebacks_are_defused(
    model: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = next(images.rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:40])
    log = images.parent / "log.jsonl"
    for words in (
        ["predict", str(model), str(broken)],
        ["predict", str(model), str(broken), "--debug"],
        ["certify", str(model), f"imagefolder:{images}", f"--log={log}", "--quiet"],
        ["train", f"--data=imagefolder:{images}", f"--output={images.parent / 'out'}", "--quiet"],
        ["audit", str(model / ESCAPE)],
    ):
        assert main(words) == 1
        shown = capsys.readouterr()
        assert shown.err
        assert not steering(shown.out + shown.err)


def test_why_there_is_no_validation_is_defused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "both" / "test" / ESCAPE).mkdir(parents=True)
    images.rename(tmp_path / "both" / "train")
    (tmp_path / "both" / "test" / ESCAPE / f"{ESCAPE}.png").write_bytes(b"no image")
    words = ["train", f"--data=imagefolder:{tmp_path / 'both'}", f"--output={tmp_path / 'out'}"]
    words += ["--build=lsrs-lenet", "--width=.1", "--epochs=1", "--batch-size=2", "--quiet"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "No validation" in shown.err
    assert not steering(shown.out + shown.err)
