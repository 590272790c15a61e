"""Exit codes, errors in one line, help, and the subcommands that only read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from latentsmooth.cli.arguments import command_line
from latentsmooth.cli.main import COMMANDS, main
from latentsmooth.records import read_log
from tests.cli.conftest import TRAIN
from tests.data_files import shared_data


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "command"),
        (["certfy"], 2, "certfy"),
        (["certify", "--n-estimate=many"], 2, "many"),
        (["certify", "--no-such-flag"], 2, "--no-such-flag"),
        (["certify"], 2, "model is missing"),
        (["certify", "m", "fashion-mini"], 2, "log is missing"),
        (["predict", "m"], 2, "images is missing"),
        (["audit", "/nowhere/at/all"], 1, "no model folder at /nowhere/at/all"),
        (["report", "/nowhere.jsonl"], 1, "/nowhere.jsonl"),
        (["certify", "m", "no-such-data", "--log=x"], 1, "no-such-data"),
        ([*TRAIN, "--output=x", "--build=vgg"], 1, "unknown build 'vgg'"),
        ([*TRAIN, "--output=x", "--epochs=0"], 1, "epochs"),
        (["train"], 2, "data is missing"),
        (["demo", "--certify-images=0"], 1, "images to certify, got 0"),
        (["demo", "--n-estimate=0"], 1, "n_estimate as a whole number >= 1"),
        (["audit", "one", "--model=two"], 2, "'one' is one argument too many"),
        (["audit", "m", "--device=x"], 2, "--device"),
        (["certify", "m", "fashion-mini", "--log=x", "--device=toaster"], 2, "device 'toaster'"),
        (["certify", "m", "fashion-mini", "--log=x", "--tsv=x"], 2, "x would be overwritten"),
        (["audit", "m", "--output=m/config.json"], 2, "m/config.json would be overwritten"),
        (["report", "a.jsonl", "--output=./a.jsonl"], 2, "would be overwritten"),
        (["report", "a.jsonl", "--figure=a.jsonl"], 2, "would be overwritten"),
        (["report", "a.jsonl", "--output=x.svg", "--figure=./x.svg"], 2, "would be overwritten"),
        (["bench", "m", "--output=x", "--markdown=x"], 2, "x would be overwritten"),
        (["report", "loop", "--output=loop"], 2, "loop would be overwritten"),
        (["report", "a.jsonl", "--output=loop"], 1, "a.jsonl: cannot be read"),
        (["audit", "a" * 300], 1, "no model folder at"),
        ([*TRAIN, "--output=/dev/null/x"], 1, "/dev/null/x: cannot go on there: [Errno 20]"),
        ([*TRAIN, "--output=x", "--width=65"], 1, "at most 64, got 65"),
    ],
)
def test_mistakes_take_one_line_and_the_right_code(
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    assert main(words) == code
    error = capsys.readouterr().err
    assert error.startswith("latentsmooth: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "/nowhere/at/all", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_takes_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def defect(options: object, *, command: str) -> int:
        return int(1 / 0)

    monkeypatch.setattr(COMMANDS["audit"], "run", defect)
    assert main(["audit", "x"]) == 1
    error = capsys.readouterr().err
    assert (
        error == "latentsmooth: error: ZeroDivisionError: division by zero; --debug shows where\n"
    )
    assert main(["audit", "x", "--debug"]) == 1
    assert "in defect" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="wants bash")
def test_printed_commands_can_be_run_whatever_is_in_them() -> None:
    words = ["a b", "it's $x", "\x1b[2J'\\", "é\u202e7", "\udcff", "line\nfeed", ""]
    printed = command_line(*words)
    assert printed.isprintable()
    script = printed.replace(printed.split()[0], "printf '%s\\0'", 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]] == words


def test_terminal_escapes_in_messages_are_defused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "\x1b[31mred"]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_words_fill_what_was_not_named(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", f"--model={model}", "--json"]) == 0
    words = ["certify", f"--model={model}", "fashion-mini", f"--log={log}"]
    assert main([*words, "--n-estimate=1000", "--limit=10", "--quiet"]) == 0
    assert "10 images certified" in capsys.readouterr().out


def test_a_config_that_is_not_text_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00\x81")
    assert main(["certify", f"--config={tmp_path / 'c.yaml'}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_training_images_are_not_taken_for_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 20 * number).save(tmp_path / "images" / label / f"{number}.png")
    words = ["train", f"--data=imagefolder:{tmp_path / 'images'}", "--build=lsrs-lenet", "--quiet"]
    words += ["--epochs=1", "--batch-size=4", f"--output={tmp_path / 'out'}"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "No validation: imagefolder:" in captured.err
    assert "Validation:" not in captured.out
    certify = ["certify", str(tmp_path / "out"), f"imagefolder:{tmp_path / 'images'}"]
    (tmp_path / "images" / "dog").rename(tmp_path / "images" / "ant")
    assert main([*certify, f"--log={tmp_path / 'l.jsonl'}"]) == 1
    assert "classes that the classifier does not know: ant" in capsys.readouterr().err
    (tmp_path / "images" / "cat").rename(tmp_path / "images" / "bee")
    assert main([*certify, f"--log={tmp_path / 'l.jsonl'}"]) == 1
    assert "none in common" in capsys.readouterr().err


def test_a_misspelled_key_in_yaml_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("n_estimat: 5\n", "utf-8")
    assert main(["certify", f"--config={tmp_path / 'c.yaml'}"]) == 2
    assert "n_estimat" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_flag_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert "Example:" in capsys.readouterr().out or name == "demo"


def test_interruption_exits_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object, *, command: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["certify"], "run", interrupted)
    assert main(["certify", "x"]) == 130
    assert "run the same command to go on" in capsys.readouterr().err


def test_train_writes_a_classifier_and_returns_at_once_when_done(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (model / "model.safetensors").read_bytes()
    summary = json.loads((model / "config.json").read_text("utf-8"))["training"]
    assert summary["epochs"] == 2
    assert main([*TRAIN, f"--output={model}"]) == 0
    assert (model / "model.safetensors").read_bytes() == weights
    assert "Trained lsrs-lenet, 2 epochs" in capsys.readouterr().out


def test_audit_prints_factors_and_product(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(model), f"--output={tmp_path / 'audit.txt'}"]) == 0
    printed = capsys.readouterr().out
    assert "OrthogonalConv2d" in printed
    assert "product" in printed
    assert "product" in (tmp_path / "audit.txt").read_text("utf-8")
    assert main(["audit", str(model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    product = 1.0
    for part in facts["modules"]:
        product *= part["bound"]
    assert facts["lipschitz_bound"] == pytest.approx(product, abs=1e-12)
    assert main(["audit", str(model), "--json", f"--output={tmp_path / 'a' / 'audit.json'}"]) == 0
    assert json.loads((tmp_path / "a" / "audit.json").read_text("utf-8")) == facts


def test_predict_reads_image_files(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "grey[bold].png", tmp_path / "colour.jpg"]
    Image.new("L", (40, 28), 0).save(paths[0])
    Image.new("RGB", (28, 28), (200, 10, 10)).save(paths[1])
    words = ["predict", str(model), *map(str, paths), "--n-estimate=500"]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert "radius" in table
    assert main([*words, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(answer["image"]).name for answer in answers] == [path.name for path in paths]
    assert all(answer["n_used"] == 600 and 0 <= answer["p_lower"] < 1 for answer in answers)
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert main(["predict", str(model), str(tmp_path / "broken.png")]) == 1
    assert "broken.png" in capsys.readouterr().err


def test_report_goes_to_the_terminal_or_a_file(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(log), "--radii", "0", ".25", "--format", "json"]) == 0
    [ours] = json.loads(capsys.readouterr().out)["logs"]
    _, certificates = read_log(log)
    accuracy = sum(certificate.certified_at(0.25) for certificate in certificates) / 10
    assert ours["certified"][1]["accuracy"] == pytest.approx(accuracy)
    output, figure = tmp_path / "r.md", tmp_path / "r.png"
    words = ["report", str(log), "--format=md", f"--output={output}", f"--figure={figure}"]
    assert main(words) == 0
    assert "ours" in output.read_text("utf-8")
    assert figure.stat().st_size > 5000


def test_report_beside_a_published_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = shared_data("published-logs/cifar10-resnet110-gaussian-sigma0.50.tsv")
    words = ["report", str(published), str(log), "--radii", "0", ".25", ".5", ".75", "1.0"]
    assert main([*words, "--format=md"]) == 0
    text = capsys.readouterr().out
    # The average certified radius, .5251 to the nearest digit, is printed floored like any radius.
    for figure in ("65.68", "54.91", "42.79", "32.45", "21.97", "0.525053", "15.23"):
        assert figure in text
    assert "ours" in text
