"""``latentsmooth attack`` from the command line to its files and exit codes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.special import ndtri

from latentsmooth.certification.bounds import input_radius
from latentsmooth.cli.main import main
from latentsmooth.images import load_images
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.records import read_log
from latentsmooth.records.log import CertificateLog

QUICK = ["--images=4", "--steps=8", "--draws=16", "--quiet"]


def attack(log: Path, model: Path, *more: str) -> list[str]:
    return ["attack", str(log), str(model), "fashion-mini", *QUICK, *more]


@pytest.fixture(scope="module")
def lies(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that claims the largest radius it can, round wrong classes."""
    manifest, certificates = read_log(log)
    path = tmp_path_factory.mktemp("lies") / "lies.jsonl"
    p_lower = 0.99
    radius = manifest.latent_sigma * float(ndtri(p_lower)) * 0.999
    with CertificateLog.open(path, manifest) as forged:
        for one in certificates[:4]:
            wrong = (one.candidate + 1) % 10
            forged.append(
                replace(
                    one,
                    prediction=wrong,
                    candidate=wrong,
                    p_lower=p_lower,
                    latent_radius=radius,
                    input_radius=input_radius(radius, manifest.lipschitz_bound) * 0.99,
                    votes=((wrong, 1000),),
                )
            )
    return path


def test_an_honest_log_stands(
    model: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, plot = tmp_path / "attack.json", tmp_path / "flips.svg"
    command = attack(log, model, f"--output={result}", f"--plot={plot}")
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "No certificate falsified among 4." in printed.out
    assert printed.err == ""
    facts = json.loads(result.read_text("utf-8"))
    assert facts["format"] == "latentsmooth-attack"
    assert facts["totals"]["attacked"] == facts["totals"]["planned"] == 4
    assert facts["totals"]["falsified"] == 0
    assert facts["totals"]["flips_found"] >= 1
    assert facts["command"].startswith("latentsmooth attack ours.jsonl model fashion-mini")
    assert str(tmp_path) not in result.read_text("utf-8")
    assert plot.read_bytes().startswith(b"<?xml")
    before = result.read_bytes()
    assert main(command) == 0
    assert result.read_bytes() == before


def test_a_false_log_is_found_out(
    model: Path, lies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in attack(lies, model, "--no-beyond") if word != "--quiet"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert re.search(r"FALSIFIED: images 0 \S.* \(radius", captured.out.replace("\n", " "))
    assert "4/4" in captured.err
    assert "4 flipped inside" in captured.err


def test_a_control_succeeds_where_it_flips(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(attack(log, model, "--no-beyond", "--control=10")) == 0
    assert "flipped within 10 times their radius" in capsys.readouterr().out
    assert main(attack(log, model, "--no-beyond", "--control=0.01")) == 1


def test_a_control_does_not_excuse_a_false_log(
    model: Path, lies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(attack(lies, model, "--no-beyond", "--control=2")) == 1
    assert "FALSIFIED" in capsys.readouterr().out


def test_a_control_may_be_beyond_all_bounds(model: Path, log: Path, tmp_path: Path) -> None:
    output = tmp_path / "attack.json"
    assert main(attack(log, model, "--images=1", "--control=1e308", f"--output={output}")) == 0
    [row] = json.loads(output.read_text("utf-8"))["images"]
    assert row["attacked_radius"] == pytest.approx(28.0, rel=1e-5)


def test_data_without_splits_are_attacked(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_images("fashion-mini", limit=10)
    for name in images.class_names:
        (tmp_path / "data" / name.replace("/", "-")).mkdir(parents=True)
    names = sorted(images.class_names)
    for item in images:
        name = names[item.index].replace("/", "-")
        pixels = (item.image[0] * 255).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(tmp_path / "data" / name / "image.png")
    data, log = f"imagefolder:{tmp_path / 'data'}", tmp_path / "log.jsonl"
    folder = tmp_path / "renamed"
    renamed = LatentSmoothedClassifier.from_pretrained(str(model))
    renamed.class_names = tuple(name.replace("/", "-") for name in names)
    renamed.save_pretrained(folder)
    made = ["certify", str(folder), data, f"--log={log}", "--n-estimate=1000", "--quiet"]
    assert main(made) == 0
    assert read_log(log)[0].data_split == "all"
    for more in ([], ["--split=all"]):
        assert main(["attack", str(log), str(folder), data, *QUICK, "--no-beyond", *more]) == 0
    assert "No certificate falsified" in capsys.readouterr().out


@pytest.mark.parametrize(("more", "end"), [([], "start anew"), (["--output=a.json"], "go on")])
def test_only_what_is_written_is_gone_on_with(
    model: Path,
    log: Path,
    more: list[str],
    end: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("latentsmooth.cli.attack.attack_log", interrupted)
    assert main(attack(log, model, *more)) == 130
    assert f"run the same command to {end}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--steps=0"], 2, "wanted --steps of at least 1, got 0"),
        (["--plot=flips.html"], 2, "wanted --plot ending in .png, .svg, .pdf"),
        (["--plot=a.png", "--output=a.png"], 2, "name the same file"),
        (["--control=0"], 1, "control factor above 0"),
        (["--split=train"], 1, "the split test, got train"),
        (["--image-size=14"], 1, "takes images of shape (1, 28, 28)"),
        (["--device=toaster"], 2, "unknown device"),
    ],
)
def test_mistakes(
    model: Path,
    log: Path,
    more: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(attack(log, model, *more)) == code
    assert message in capsys.readouterr().err


def test_files_that_are_read_are_not_overwritten(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (log, model / "config.json"):
        before = path.read_bytes()
        assert main(attack(log, model, f"--output={path}")) == 2
        assert "would be overwritten" in capsys.readouterr().err
        assert path.read_bytes() == before
    assert main(["attack", str(log), str(model)]) == 2
    assert "data is missing" in capsys.readouterr().err
