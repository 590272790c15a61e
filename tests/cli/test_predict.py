from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from latentsmooth.cli.main import main
from tests.images.samples import png

MODEL = "packaged:fashion-mnist"


def predict(*words: str) -> int:
    return main(["predict", MODEL, *words, "--n-estimate=200"])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "holiday"
    (folder / "deep").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    for seed, name in enumerate(("b.png", "a.jfif", "deep/c", "__MACOSX/._b.png")):
        (folder / name).write_bytes(png(seed=seed, size=(20, 28)))
    (folder / "notes.txt").write_text("no image")
    return folder


def names(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["image"] for line in capsys.readouterr().out.splitlines()]


def test_a_folder_stands_for_the_images_in_it(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(str(pictures), "--json") == 0
    captured = capsys.readouterr()
    found = [json.loads(line)["image"] for line in captured.out.splitlines()]
    assert found == [str(pictures / name) for name in ("a.jfif", "b.png", "deep/c")]
    assert "notes.txt)" in captured.err


def test_an_archive_stands_for_the_images_in_it(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(pictures.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(pictures).as_posix())
    assert predict(str(archive), "--json") == 0
    assert names(capsys) == [f"{archive}/{name}" for name in ("a.jfif", "b.png", "deep/c")]
    archive.write_bytes(archive.read_bytes()[:-30])
    assert predict(str(archive), "--json") == 1
    assert "all.zip" in capsys.readouterr().err


def test_a_pattern_stands_for_the_files_it_matches(
    pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    assert predict("*.png", "**/c", "--json") == 0
    assert names(capsys) == ["b.png", "deep/c"]
    Path("x[1].png").write_bytes(png())
    assert predict("x[1].png", "--json") == 0
    assert names(capsys) == ["x[1].png"]
    assert predict("*.webp") == 1
    assert "no images in *.webp" in capsys.readouterr().err


def test_bad_files_are_named_and_cost_no_other_result(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn, pointer, gone = tmp_path / "torn.png", tmp_path / "lfs.jpg", tmp_path / "gone.png"
    torn.write_bytes(png(size=(90, 90))[:200])
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    gone.symlink_to(tmp_path / "nothing")
    asked = [str(pictures / "b.png"), str(torn), str(pointer), "fashion-mini:3"]
    assert predict(*asked, "--json") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2 of 4 files cannot be read" in captured.err
    assert "torn.png" in captured.err
    assert "git lfs pull" in captured.err
    assert "--skip-bad" in captured.err
    assert predict(*asked, "--json", "--skip-bad") == 3
    captured = capsys.readouterr()
    good = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["image"] for answer in good] == [asked[0], asked[3]]
    assert captured.err.count("bad file: ") == 2
    assert predict(str(torn), "--skip-bad") == 1
    assert predict(str(gone)) == 1
    assert "no such image file" in capsys.readouterr().err


def test_predictions_do_not_depend_on_bad_neighbours(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    votes = []
    for first in (str(tmp_path / "bad.png"), str(pictures / "b.png")):
        predict(first, "fashion-mini:3", "--json", "--skip-bad")
        votes.append(json.loads(capsys.readouterr().out.splitlines()[-1])["votes"])
    assert votes[0] == votes[1]


def test_predictions_are_written_in_every_form(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = pictures / "<script>alert(1)</script>.png".replace("/", "_")
    Image.new("RGB", (28, 28), (9, 9, 9)).save(hostile)
    asked = [str(pictures), "fashion-mini:3"]
    written = {}
    for suffix in ("csv", "jsonl", "html"):
        output = tmp_path / f"out.{suffix}"
        assert predict(*asked, f"--output={output}") == 0
        written[suffix] = output.read_text(encoding="utf-8")
    capsys.readouterr()
    rows = list(csv.DictReader(written["csv"].splitlines()))
    lines = [json.loads(line) for line in written["jsonl"].splitlines()]
    assert [row["image"] for row in rows] == [line["image"] for line in lines]
    assert [row["class"] for row in rows] == [line["class"] or "" for line in lines]
    assert [float(row["input_radius"]) for row in rows] == [line["input_radius"] for line in lines]
    assert rows[-1]["label"] == lines[-1]["label"]
    assert "<script>" not in written["html"]
    assert written["html"].count("data:image/png;base64,") == len(lines) == 5
    assert predict(*asked, "--output=out.txt") == 2
    assert "wanted --output ending in .csv, .jsonl, .html" in capsys.readouterr().err
    assert predict(*asked, f"--output={hostile}.csv") == 0


def test_what_was_predicted_before_an_error_is_kept(
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from latentsmooth.certification import Certifier

    whole = Certifier.certify

    def broken(self: Certifier, *arguments: object) -> object:
        for place, made in enumerate(whole(self, *arguments)):  # type: ignore[arg-type]
            if place == 2:
                raise RuntimeError("a cosmic ray")
            yield made

    monkeypatch.setattr(Certifier, "certify", broken)
    output = tmp_path / "out.jsonl"
    assert predict(str(pictures), f"--output={output}") == 1
    captured = capsys.readouterr()
    assert "a cosmic ray" in captured.err
    assert "a.jfif" in captured.out
    assert len(output.read_text(encoding="utf-8").splitlines()) == 2
