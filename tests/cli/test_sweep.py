"""``latentsmooth sweep`` from a file: interrupted, gone on with, drawn anew; hostile files."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path

import pytest

from latentsmooth.cli.main import main
from latentsmooth.records import CertificateLog, read_log

PLAN = """
train: {{width: 0.25, epochs: 1, limit: 64, batch_size: 32, learning_rate: 5e-3, validate: false}}
certify: {{limit: 4, n_estimate: 200, executor: eager, batch_size: 100, device: cpu}}
measure: {{images: 0}}
radii: [0, 0.1]
runs:
  - name: isrs
    build: lenet
  - name: old
    reuse: {model}
"""


def test_a_sweep_is_interrupted_gone_on_with_and_drawn_anew(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sweep.yaml").write_text(PLAN.format(model=model), "utf-8")
    output, append = tmp_path / "it's out", CertificateLog.append

    def signalling(self: CertificateLog, certificate: object) -> None:
        append(self, certificate)  # type: ignore[arg-type]
        if len(self.done) == 2:
            signal.raise_signal(signal.SIGINT)

    words = ["sweep", f"--config={tmp_path / 'sweep.yaml'}", "--data=fashion-mini", "--quiet"]
    with monkeypatch.context() as patched:
        patched.setattr(CertificateLog, "append", signalling)
        assert main([*words, f"--output={output}"]) == 130
    said, command = capsys.readouterr().err.strip().splitlines()[-2:]
    assert said.endswith("run the same command to go on:")
    assert len(read_log(output / "isrs" / "certificates.jsonl")[1]) == 2
    assert main(shlex.split(command)[1:]) == 0
    told = capsys.readouterr().out
    assert "isrs: taking up what was trained, 1 epochs on 64 images" in told
    assert "old: certifying 4 images (LSRS)" in told
    assert "Whose frontier is above" in told
    content = json.loads((output / "frontier.json").read_text("utf-8"))
    assert [point["name"] for point in content["points"]] == ["isrs", "old"]
    assert content["command"].startswith("latentsmooth sweep --config=")
    assert main(
        ["sweep", f"--output={output}", "--plot-only", "--cost=samples", "--radii", "0.1", "0.2"]
    ) == 0  # fmt: skip
    again = json.loads((output / "frontier.json").read_text("utf-8"))
    assert (again["cost"], again["input_radii"]) == ("samples", [0.1, 0.2])
    assert main([*words, f"--output={output}", "--only", "new"]) == 1
    assert "no run is called 'new'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("runs: [{name: a, epoch: 1}]", 1, "did you mean 'epochs'"),
        ("runs: {name: a}", 2, "runs"),
        ("run: []", 2, "unknown key 'run'; did you mean 'runs'"),
        ("runs: [{name: a, epochs: &x 1}]", 2, "anchors and aliases"),
        ("runs: [{name: a, name: b}]", 2, "key 'name' is given twice"),
        ("train: {epochs: {class_path: this.s}}\nruns: [{name: a}]", 2, "epochs"),
        ("train: {class_path: this.s, init_args: {}}\nruns: [{name: a}]", 1, "'class_path'"),
        ("runs: [{class_path: this.s, init_args: {a: {b: 1}}}]", 1, "has no name"),
        ("grid: {build: [{class_path: this.s}]}", 2, "build"),
        ("grid: {seed: " + str([*range(300)]) + "}", 1, "at most 256 combinations"),
        ("", 1, "wanted runs, a grid or both"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_files_that_are_no_sweep_are_refused_and_import_nothing(
    text: str, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(text, "utf-8")
    words = ["sweep", f"--config={tmp_path / 'c.yaml'}", "--data=fashion-mini"]
    assert main([*words, f"--output={tmp_path / 'out'}"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "this" not in sys.modules
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code, message in [
        (["sweep"], 2, "data is missing"),
        (["sweep", "--plot-only"], 2, "output is missing"),
        (["sweep", "--plot-only", f"--output={tmp_path}"], 1, "cannot read"),
        (["sweep", "--data=none", f"--output={tmp_path}", '--runs=[{"name": "a"}]'], 1, "none"),
    ]:
        assert main(words) == code
        assert message in capsys.readouterr().err
