"""``latentsmooth attack`` from the command line to its files and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.special import ndtri

from latentsmooth.certification.bounds import input_radius
from latentsmooth.cli.main import main
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
    assert "FALSIFIED: images 0 (radius" in captured.out
    assert "4/4" in captured.err
    assert "4 flipped inside" in captured.err


def test_a_control_succeeds_where_it_flips(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(attack(log, model, "--no-beyond", "--control=10")) == 0
    assert "flipped within 10 times their radius" in capsys.readouterr().out
    assert main(attack(log, model, "--no-beyond", "--control=0.01")) == 1


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
