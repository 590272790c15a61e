"""``latentsmooth bench`` from the command line to its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latentsmooth.cli.bench import without_folders
from latentsmooth.cli.main import main


@pytest.fixture(autouse=True)
def short_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentsmooth.bench.contender.SWEEP_SECONDS", 0.0)


def test_bench_prints_tables_and_writes_files(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, text = tmp_path / "bench.json", tmp_path / "bench.md"
    words = ["bench", str(model), "lenet@0.1", "--data=fashion-mini", "--images=2", "--rounds=2"]
    words += ["--n-select=20", "--n-estimate=100", "--contenders=textbook,lsrs,ceiling"]
    words += ["--executor=eager", "--precision=float32"]
    assert main([*words, f"--output={result}", f"--markdown={text}"]) == 0
    printed = capsys.readouterr()
    assert "round 2 of 2: textbook best" in printed.err
    assert "Certification side by side" in printed.out
    assert "Random weights: lenet@0.1." in printed.out
    facts = json.loads(result.read_text("utf-8"))
    assert facts["data"] == "fashion-mini"
    assert facts["command"].startswith("latentsmooth bench model lenet@0.1 --data=fashion-mini")
    assert str(tmp_path) not in result.read_text("utf-8") + text.read_text("utf-8")
    assert [one["name"] for one in facts["standings"]] == [
        "textbook",
        "textbook best",
        "lsrs model",
        "ceiling model",
        "ceiling lenet@0.1",
    ]


def test_goal_of_a_trained_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(model), "--data=fashion-mini", "--images=2", "--rounds=1", "--quiet"]
    words += ["--n-estimate=500", "--contenders=lsrs", "--goal=radius>=0.1", "--goal-images=6"]
    assert main([*words, "--precision=float32", "--executor=eager"]) == 0
    assert "Towards a goal 6 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "models is missing"),
        (["lenet", "--images=0"], 2, "of at least 1, got 0 and 100"),
        (["lenet", "--contenders=all"], 1, "got 'all'"),
        (["lenet", "--goal=radius>=0.1"], 1, "random weights"),
        (["lenet", "--device=toaster"], 1, "cannot use device 'toaster'"),
        (["m", "--output=m/config.json"], 2, "would be overwritten"),
    ],
)
def test_mistakes(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == code
    assert message in capsys.readouterr().err


def test_commands_lose_their_folders() -> None:
    told = without_folders("latentsmooth bench '/a b/c' --output /x/y.json --goal 'radius>=.5'")
    assert told == "latentsmooth bench c --output y.json --goal 'radius>=.5'"
