"""Ctrl-C, SIGTERM, SIGHUP and full disks: exit codes, the command to go on, nothing half or twice.

The signals come to this very process, whose handlers the command line replaces for as long as it
runs; the standing ones only catch what would otherwise end pytest.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from torch import Tensor

from latentsmooth.cli.main import COMMANDS, main
from latentsmooth.interrupts import SIGNALS
from latentsmooth.records import CertificateLog, read_log
from latentsmooth.training.step import Stepper
from tests.cli.conftest import TRAIN, certify
from tests.cli.test_certify import has_lines, lines
from tests.test_files import tiny_disk

__all__ = ["tiny_disk"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture(autouse=True)
def net() -> Iterator[None]:
    earlier = {number: signal.signal(number, lambda _, __: None) for number in SIGNALS}
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


@contextmanager
def signalled(number: int, when: Callable[[], bool]) -> Iterator[None]:
    """Have this process sent a signal as soon as something is so."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if when():
                os.kill(os.getpid(), number)
                return
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def printed_command(error: str) -> list[str]:
    """What the last line says to run, program left out."""
    said, command = error.strip().splitlines()[-2:]
    assert said.endswith("run the same command to go on:")
    program, *words = shlex.split(command)
    assert Path(program).name == "latentsmooth"
    return words


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.jsonl"
    assert main(certify(model, path, limit=40)) == 0
    return path


@pytest.mark.parametrize("number", SIGNALS)
def test_certify_stops_says_how_to_go_on_and_goes_on(
    model: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    path = tmp_path / "it's a log.jsonl"
    with signalled(number, lambda: has_lines(path, 3)):
        assert main(certify(model, path, limit=40)) == 128 + number
    error = capsys.readouterr().err
    assert f"interrupted by {signal.Signals(number).name}" in error
    assert path.read_bytes().endswith(b"\n")
    kept = path.read_bytes()
    assert 3 <= len(read_log(path)[1]) < 40
    assert main(printed_command(error)) == 0
    assert path.read_bytes().startswith(kept)
    assert lines(path) == lines(whole)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_the_middle_of_a_write_waits_for_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path, fsync, calls = tmp_path / "log.jsonl", os.fsync, []

    def signalling(descriptor: int) -> None:
        calls.append(path.stat().st_size)
        if len(calls) == 5:
            signal.raise_signal(number)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", signalling)
    assert main(certify(model, path, limit=40)) == 128 + number
    assert len(calls) == 5, "nothing is written after the line that the signal met"
    assert path.stat().st_size == calls[-1]
    assert path.read_bytes().endswith(b"\n")


def test_an_exception_lost_in_a_callback_is_raised_with_the_next_image(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, append = tmp_path / "log.jsonl", CertificateLog.append
    swallowed = []

    def swallowing(self: CertificateLog, certificate: object) -> None:
        append(self, certificate)  # type: ignore[arg-type]
        if len(self.done) == 4:
            try:
                signal.raise_signal(signal.SIGTERM)
            except SystemExit:  # as a finaliser or a callback of C code does
                swallowed.append(self)

    monkeypatch.setattr(CertificateLog, "append", swallowing)
    assert main(certify(model, path, limit=40)) == 143
    assert len(swallowed) == 1
    assert len(read_log(path)[1]) == 4


def test_train_stops_and_goes_on_to_the_same_weights(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "model"
    arguments, take, steps = [*TRAIN, f"--output={output}"], Stepper.take, []
    coming = dict(zip((3, 5, 9), SIGNALS, strict=True))

    def signalling(self: Stepper, step: int, *batch: Tensor) -> Tensor:
        steps.append(step)
        if len(steps) in coming:
            signal.raise_signal(coming[len(steps)])
        return take(self, step, *batch)

    monkeypatch.setattr(Stepper, "take", signalling)
    for number in SIGNALS:
        assert main(arguments) == 128 + number
        assert printed_command(capsys.readouterr().err) == arguments
    assert main(arguments) == 0
    assert steps == list(range(16)), "the step that a signal met was finished and kept"
    weights = "model.safetensors"
    assert (output / weights).read_bytes() == (model / weights).read_bytes()


def test_one_process_at_a_time_certifies_into_a_log(
    model: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    shutil.copy(whole, path)
    before = path.read_bytes()
    with other_holder(path):
        assert main(certify(model, path, limit=40)) == 1
    assert "another process is writing this log" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(certify(model, path, limit=40)) == 0


def test_one_process_at_a_time_trains_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    output.mkdir()
    with other_holder(output / ".lock"):
        assert main([*TRAIN, f"--output={output}"]) == 1
    assert "another process is training there" in capsys.readouterr().err
    assert [each.name for each in output.iterdir()] == [".lock"]


@contextmanager
def other_holder(path: Path) -> Iterator[None]:
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_that_may_not_grow_is_one_error_and_goes_on_later(
    model: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    with largest_file(5000):
        assert main(certify(model, path, limit=40)) == 1
    error = capsys.readouterr().err
    assert error == f"latentsmooth: error: {path}: cannot be written: File too large\n"
    stopped = lines(path)
    assert 3 < len(stopped) < 41
    assert stopped == lines(whole)[: len(stopped)]
    assert main(certify(model, path, limit=40)) == 0
    assert lines(path) == lines(whole)


def test_a_full_disk_is_one_error_and_certifying_goes_on_when_there_is_room(
    model: Path, whole: Path, tiny_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, ballast = tiny_disk / "log.jsonl", tiny_disk / "ballast"
    ballast.write_bytes(b"x" * 56_000)
    command = [*certify(model, path, limit=40), f"--tsv={tiny_disk / 'log.tsv'}"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error == f"latentsmooth: error: {path}: cannot be written: No space left on device\n"
    stopped = lines(path)
    assert stopped == lines(whole)[: len(stopped)]
    ballast.unlink()
    assert main(command) == 0
    assert lines(path) == lines(whole)
    assert (tiny_disk / "log.tsv").read_text().count("\n") == 41


def test_a_full_disk_is_one_error_and_training_goes_on_when_there_is_room(
    model: Path, tmp_path: Path, tiny_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tiny_disk / "model"
    assert main([*TRAIN, f"--output={output}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"latentsmooth: error: {output}: cannot go on there: [Errno 28] No space"
    )
    assert error.count("\n") == 1
    roomy = tmp_path / "roomy"
    shutil.copytree(output, roomy)
    assert not list((roomy / "checkpoints").glob("checkpoint-*"))
    assert json.loads((roomy / "run.json").read_text())
    assert main([*TRAIN, f"--output={roomy}"]) == 0
    weights = "model.safetensors"
    assert (roomy / weights).read_bytes() == (model / weights).read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ["certify", "{model}", "fashion-mini", "--log=/proc/no/log.jsonl", "--n-estimate=100"],
        ["certify", "{model}", "fashion-mini", "--log=/dev/full", "--n-estimate=100"],
        ["audit", "{model}", "--output=/proc/no/audit.txt"],
        ["report", "{log}", "--output=/dev/full"],
        ["report", "{log}", "--figure=/proc/no/curve.png"],
    ],
)
def test_what_cannot_be_written_is_one_error(
    model: Path, log: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    limit = ["--limit=2"] if words[0] == "certify" else []
    assert main([word.format(model=model, log=log) for word in words] + limit) == 1
    error = capsys.readouterr().err
    assert error.startswith("latentsmooth: error: ")
    assert error.count("\n") == 1
    assert any(path in error for path in ("/proc/no", "/dev/full"))
    assert Path("/dev/full").is_char_device()


def test_a_closed_terminal_takes_the_message_and_not_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed:
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

        flush = write

    def hung_up(options: object, *, command: str) -> int:
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            print("bar", file=sys.stderr)
        return 0

    monkeypatch.setattr(COMMANDS["audit"], "run", hung_up)
    monkeypatch.setattr(sys, "stderr", Closed())
    assert main(["audit", "x"]) == 129


def test_what_keeps_nothing_starts_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(options: object, *, command: str) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr(COMMANDS["audit"], "run", stopped)
    assert main(["--debug", "audit", "a b"]) == 143
    said, command = capsys.readouterr().err.splitlines()
    assert said.endswith("run the same command to start anew:")
    assert shlex.split(command)[1:] == ["--debug", "audit", "a b"]
