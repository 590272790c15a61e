"""Images without labels are neither right nor wrong, anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latentsmooth.cli.main import main
from latentsmooth.cli.progress import Tally
from latentsmooth.images import load_images
from latentsmooth.records import read_log
from tests.images.samples import write_parquet
from tests.records.makers import abstention, certificate

FLAGS = ["--n-estimate=200", "--quiet"]


@pytest.fixture
def garments(tmp_path: Path) -> Path:
    """Twelve images of the package, as they are, six of them with labels."""
    import pyarrow.parquet as pq

    from latentsmooth.images import sources

    table = pq.read_table(sources._EMBEDDED / "fashion-mini-test.parquet")
    images = [table["image"][row]["bytes"].as_py() for row in range(12)]
    names = load_images("fashion-mini").class_names
    labels = [table["label"][row].as_py() if row < 6 else None for row in range(12)]
    write_parquet(tmp_path / "bare.parquet", images)
    write_parquet(tmp_path / "half.parquet", images, labels, names=names)
    return tmp_path


def test_no_labels(garments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = garments / "log.jsonl"
    words = ["certify", "packaged:fashion-mnist", f"parquet:{garments / 'bare.parquet'}"]
    assert main([*words, f"--log={log}", *FLAGS]) == 0
    out = capsys.readouterr().out
    assert "12 images certified, no labels: " in out
    assert "median radius" in out
    assert "correct" not in out
    _, certificates = read_log(log)
    assert [each.label for each in certificates] == [None] * 12
    assert [each.name for each in certificates][:2] == [
        "bare.parquet row 0 (0.png)",
        "bare.parquet row 1 (1.png)",
    ]
    assert main(["report", str(log), "--radii", "0", ".25", "--format=md"]) == 0
    shown = capsys.readouterr().out
    answered = sum(not each.abstained for each in certificates)
    assert "no image has a label, so there is no accuracy" in shown
    assert f"{10_000 * answered // 12 / 100:.2f} % at 0" in shown
    assert "0.00 %" not in shown


def test_some_labels(garments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = garments / "log.jsonl"
    words = ["certify", "packaged:fashion-mnist", f"parquet:{garments / 'half.parquet'}"]
    assert main([*words, f"--log={log}", *FLAGS]) == 0
    assert " of 6 with a label correct" in capsys.readouterr().out
    assert main(["report", str(log), "--format=json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("6 of 12 images have no label" in note for note in notes)
    # 200 samples prove too little for the larger of the default radii.
    assert any("no image could be certified at 0.5, 0.75, 1: 200 samples" in note for note in notes)


def test_the_bar_counts_what_was_there_before() -> None:
    tally = Tally()
    for index in range(18):
        tally.count(certificate(index, label=3 if index < 10 else 4), resumed=True)
    tally.count(certificate(18), resumed=False)
    tally.count(certificate(19, prediction=2, label=3), resumed=False)
    assert tally.note() == "55.0% correct, 1.500 s/image"
    bare = Tally()
    bare.count(certificate(0, label=None), resumed=True)
    bare.count(abstention(1, label=None), resumed=True)
    assert bare.note() == "50.0% answered"
