"""The certificate log through the command line: reproducible, resumable, refused when foreign."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from latentsmooth.cli.main import main
from latentsmooth.records import read_log
from tests.cli.conftest import certify


def lines(path: Path) -> list[dict[str, Any]]:
    """The log's lines without what may differ: timings, command, selection, batch size."""
    parsed = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in parsed:
        for name in ("seconds", "command", "created", "batch_size", "data_selection"):
            line.pop(name, None)
    return parsed


def test_the_log_holds_a_manifest_and_a_certificate_an_image(model: Path, log: Path) -> None:
    manifest, certificates = read_log(log)
    assert [certificate.index for certificate in certificates] == list(range(10))
    assert manifest.model_build == "lsrs-lenet"
    assert manifest.n_estimate == 1000
    assert manifest.command.startswith("latentsmooth certify")
    assert 1 <= manifest.lipschitz_bound < 1 + 1e-5
    assert all(certificate.n_used == 1100 for certificate in certificates)


@pytest.mark.parametrize("batch_size", [64, 257])
def test_batch_size_changes_nothing(
    model: Path, log: Path, tmp_path: Path, batch_size: int
) -> None:
    other = tmp_path / "other.jsonl"
    assert main(certify(model, other, limit=10, batch_size=batch_size)) == 0
    assert lines(other) == lines(log)


def test_a_longer_run_begins_with_the_shorter_and_extends_it(
    model: Path, log: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer.jsonl"
    assert main(certify(model, longer, limit=4)) == 0
    assert main(certify(model, longer, limit=12)) == 0
    assert lines(longer)[:11] == lines(log)
    assert len(lines(longer)) == 13


def test_kill_9_and_the_same_command_again_give_the_uninterrupted_log(
    model: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    assert main(certify(model, whole, limit=40)) == 0
    command = [sys.executable, "-m", "latentsmooth.cli.main", *certify(model, killed, limit=40)]
    kills = 0
    for wanted in (3, 12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None and not has_lines(killed, wanted):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    assert len(lines(whole)) == 41
    with killed.open("a", encoding="utf-8") as file:
        file.write('{"index": 99, "lab')  # what a kill in the middle of a write leaves
    finish = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert finish.returncode == 0, finish.stderr
    assert lines(killed) == lines(whole)


SEQUENTIAL = ["--rule=sequential", "--goal=radius>=0.1", "--n-estimate=3000"]


def test_images_that_stop_at_different_times_resume_all_the_same(
    model: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert main([*certify(model, whole, limit=30), *SEQUENTIAL]) == 0
    manifest, certificates = read_log(whole)
    assert manifest.rule["goal"] == "radius>=0.1"
    assert len({certificate.n_used for certificate in certificates}) > 3
    for certificate in certificates:
        assert (certificate.input_radius >= 0.1) == (certificate.reason == "radius reached")
    assert any(certificate.input_radius >= 0.1 for certificate in certificates)
    for kept in (1, 9, 20):
        text = whole.read_text("utf-8").splitlines(keepends=True)[: kept + 1]
        cut.write_text("".join(text) + '{"index": 3, "la', "utf-8")
        other_batch = ["--batch-size=77"] if kept == 9 else []
        assert main([*certify(model, cut, limit=30), *SEQUENTIAL, *other_batch]) == 0
        assert lines(cut) == lines(whole)


def test_another_rule_may_not_be_appended(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = log.read_bytes()
    command = certify(model, log, limit=10)
    assert main([*command, "--rule=two-sided"]) == 1
    assert "rule" in capsys.readouterr().err
    assert main([*command, "--rule=sequential"]) == 1
    assert "wants a goal" in capsys.readouterr().err
    assert main([*command, "--rule=guess"]) == 2
    assert log.read_bytes() == before


def test_a_goal_that_cannot_be_reached_leaves_no_log(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    command = [*certify(model, path, limit=2), *SEQUENTIAL]
    assert main([*command, "--goal=radius>=9"]) == 1
    assert "a radius that 3000 draws can prove" in capsys.readouterr().err
    assert not path.exists()
    assert main(command) == 0


def has_lines(path: Path, wanted: int) -> bool:
    return path.exists() and path.read_bytes().count(b"\n") > wanted


def test_another_seed_may_not_be_appended(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = log.read_bytes()
    assert main([*certify(model, log, limit=10), "--seed=1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("latentsmooth: error: ")
    assert error.count("\n") == 1
    assert "seed" in error
    assert log.read_bytes() == before


def test_flags_also_come_from_yaml(model: Path, log: Path, tmp_path: Path) -> None:
    config = tmp_path / "certify.yaml"
    config.write_text(
        f"model: {model}\ndata: fashion-mini\nn_estimate: 1000\nlimit: 3\nquiet: true\n", "utf-8"
    )
    path, table = tmp_path / "log.jsonl", tmp_path / "log.tsv"
    assert main(["certify", f"--config={config}", f"--log={path}", f"--tsv={table}"]) == 0
    assert lines(path) == lines(log)[:4]
    assert table.read_text("utf-8").startswith("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t")


def test_images_of_another_shape_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*certify(model, tmp_path / "log.jsonl", limit=2), "--image-size=32"]
    assert main(words) == 1
    assert "takes images of shape (1, 28, 28)" in capsys.readouterr().err


def test_progress_goes_to_standard_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = certify(model, tmp_path / "log.jsonl", limit=2)
    assert main([word for word in words if not word.startswith("--quiet")]) == 0
    captured = capsys.readouterr()
    assert "2/2" in captured.err
    assert captured.out.startswith("2 images certified: ")


def test_columns_out_of_reach_are_said_before_the_first_image(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*certify(model, tmp_path / "log.jsonl", limit=1), "--rule=sequential"]
    assert main([*words, "--goal=radii=0,0.1,5"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("note: no image can be certified at 5: 1,000 samples prove a radius of ")
    assert len(said.splitlines()) == 1
    other = [*certify(model, tmp_path / "other.jsonl", limit=1), "--rule=sequential"]
    for goal in ("radii=5,9", "radius>=5"):
        assert main([*other, f"--goal={goal}"]) == 1
        assert "wanted a radius that 1000 draws can prove" in capsys.readouterr().err
        assert not (tmp_path / "other.jsonl").exists()
