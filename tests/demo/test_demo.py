"""The demonstration, small, from the command line to its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from latentsmooth.cli.main import main
from latentsmooth.demo import DemoSettings, run_demo
from latentsmooth.errors import ConfigurationError
from latentsmooth.records import read_log


def test_small_demo_compares_both_and_writes_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    words = ["demo", f"--output={folder}", "--epochs=1", "--certify-images=4", "--n-estimate=500"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    seconds = {}
    for name in ("lsrs", "isrs"):
        manifest, certificates = read_log(folder / f"{name}.jsonl")
        assert len(certificates) == 4
        assert manifest.n_estimate == 500
        seconds[name] = sum(certificate.seconds for certificate in certificates)
    stated = re.search(r"took ISRS ([0-9.]+) times", printed)
    assert stated is not None
    assert float(stated[1]) == pytest.approx(seconds["isrs"] / seconds["lsrs"], abs=0.006)
    assert (folder / "certified-accuracy.png").stat().st_size > 5000
    page = (folder / "report.html").read_text("utf-8")
    assert "<svg" in page
    assert "lsrs-lenet" in page
    assert re.search(rf"latentsmooth audit {folder / 'lsrs-lenet'}", printed)
    assert "measured in this run" in printed
    assert main([*words, "--quiet"]) == 0
    assert "from logs of an earlier run" in capsys.readouterr().out
    assert main([*words, "--quiet", "--alpha=0.01"]) == 1
    assert "another --output" in capsys.readouterr().err


def test_what_no_votes_could_prove_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"n_estimate is 9, too few .* at least 10"):
        DemoSettings(n_estimate=9)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(DemoSettings(n_estimate=100), tmp_path / "demo", say=say)
    assert said == [
        "No image can be certified at radius 0.5, 0.75: 100 samples prove at most 0.375 with "
        "this noise"
    ]
