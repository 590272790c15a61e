"""Kill certifying and training at random times, go on each time, and compare with undisturbed runs.

    python benchmarks/kills.py --kills 50 --output benchmarks/results/kills.json

Half of the kills go to each. A kill is SIGKILL, SIGTERM or SIGINT at a random time after the start,
while the interpreter still loads as well as in the middle of the work; then the same command runs
again. Where a run gets to its end before the kills are used up, it is compared and another begins.
After every kill, what lies on the disk is read and must be the beginning of the undisturbed run. In
the end logs and weights must be the same, timings aside. Exit code 1 where anything is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from latentsmooth.errors import LogError
from latentsmooth.files import write_whole
from latentsmooth.machine import describe_machine
from latentsmooth.records import package_versions, read_log
from latentsmooth.training.checkpoint import list_checkpoints, read_checkpoint

PROGRAM = [sys.executable, "-m", "latentsmooth.cli.main"]
DATA = "fashion-mini"
TIMINGS = ("seconds", "images_per_second", "command", "created")
SIGNALS = {"SIGKILL": 6, "SIGTERM": 2, "SIGINT": 2}
"""How often each comes, relative to the others."""
SHARE_AT_START = 0.2
"""Of the kills, those that come while the program loads and prepares."""
MOST_SECONDS_AT_WORK = 2.5
SECONDS = 600


@dataclass
class Task:
    """A command whose run can be resumed, and how to judge what it leaves behind.

    Attributes:
        words: makes the command line, given where to write.
        watched: the file whose change says that the work itself, rather than loading, has begun.
        result: what a finished run left, timings aside.
        progress: raises `Broken` unless what is there is the beginning of a result; how far it is.
    """

    name: str
    words: Callable[[Path], list[str]]
    watched: Callable[[Path], Path]
    result: Callable[[Path], Any]
    progress: Callable[[Path, Any], int]
    whole: Any = None
    start: float = 0.0
    kills: list[dict[str, Any]] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0


class Broken(Exception):
    """Something was lost, doubled, torn, or said wrongly."""


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def state(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def run(words: Sequence[str], watched: Path) -> float:
    """Run a command to its end; how long its start took."""
    started, start, before = time.monotonic(), 0.0, state(watched)
    with subprocess.Popen(
        [*PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    ) as process:
        while process.poll() is None and time.monotonic() - started < SECONDS:
            if not start and state(watched) != before:
                start = time.monotonic() - started
            time.sleep(0.005)
        process.kill()
        error = process.stderr.read().decode() if process.stderr else ""
    if process.returncode:
        raise Broken(f"{shlex.join(words)} ended with {process.returncode}: {error}")
    return start


def kill(task: Task, place: Path, chance: random.Random) -> dict[str, Any] | None:
    """Start once and kill; what came of it, or ``None`` where the run ended before."""
    name = chance.choices([*SIGNALS], [*SIGNALS.values()])[0]
    number = signal.Signals[name]
    early = chance.random() < SHARE_AT_START
    after = chance.uniform(0.0, task.start if early else MOST_SECONDS_AT_WORK)
    watched = task.watched(place)
    before = state(watched)
    with subprocess.Popen(
        [*PROGRAM, *task.words(place)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        while not early and process.poll() is None and state(watched) == before:
            time.sleep(0.005)
        try:
            _, error = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            _, error = process.communicate(timeout=SECONDS)
        else:
            if process.returncode:
                raise Broken(f"{task.name} ended with {process.returncode}: {error}") from None
            return None
    code = process.returncode
    if code == 0:
        return None
    # Before its handlers stand, a signal ends the interpreter as it would any program.
    handled = code == 128 + number
    if not handled and code != -number:
        raise Broken(f"{task.name} ended with {code} on {name}: {error}")
    if handled and "run the same command to go on:" not in error:
        raise Broken(f"{task.name} did not say how to go on: {error!r}")
    reached = task.progress(place, task.whole)
    return {
        "signal": name,
        "at": "start" if early else "work",
        "after_seconds": round(after, 3),
        "code": code,
        "reached": reached,
    }


def disturb(task: Task, kills: int, chance: random.Random, folder: Path) -> None:
    """Kill a task so many times, over as many runs as that takes, and compare every one."""
    started, straight = time.monotonic(), folder / "straight"
    task.start = run(task.words(straight), task.watched(straight))
    task.whole = task.result(straight)
    task.progress(straight, task.whole)
    while len(task.kills) < kills:
        place = folder / f"killed-{task.rounds}"
        found: dict[str, Any] | None = {}
        while found is not None and len(task.kills) < kills:
            found = kill(task, place, chance)
            if found is not None:
                task.kills.append({"round": task.rounds, **found})
                print(f"{task.name}: {len(task.kills)}/{kills} {found}", flush=True)
        if found is not None:
            run(task.words(place), task.watched(place))
        if task.result(place) != task.whole:
            raise Broken(f"{task.name}: the interrupted run {place} ended in another result")
        task.rounds += 1
    task.seconds = time.monotonic() - started


def without_timings(raw: bytes) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in raw.splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]


def certifying(model: Path, images: int) -> Task:
    def words(path: Path) -> list[str]:
        flags = [f"--limit={images}", "--n-estimate=10000", "--quiet"]
        return ["certify", str(model), DATA, f"--log={path}", *flags]

    def result(path: Path) -> Any:
        return without_timings(path.read_bytes())

    def progress(path: Path, whole: Any) -> int:
        raw = path.read_bytes() if path.exists() else b""
        kept = raw[: raw.rfind(b"\n") + 1]
        if without_timings(kept) != whole[: kept.count(b"\n")]:
            raise Broken(f"{path} is not the beginning of the undisturbed log")
        if not kept:
            return 0
        try:
            certificates = read_log(path)[1]
        except LogError as error:
            raise Broken(str(error)) from error
        if len(certificates) != kept.count(b"\n") - 1:
            raise Broken(f"{path}: read {len(certificates)} of its certificates")
        return len(certificates)

    return Task("certify", words, lambda path: path, result, progress)


def training(images: int, epochs: int) -> Task:
    def words(path: Path) -> list[str]:
        sizes = [f"--limit={images}", f"--epochs={epochs}", "--batch-size=32"]
        often = ["--checkpoint-every=20", "--log-every=5", "--validate-images=50", "--quiet"]
        return ["train", "--build=lsrs-lenet", f"--data={DATA}", f"--output={path}", *sizes, *often]

    def result(path: Path) -> Any:
        weights = sha256((path / "model.safetensors").read_bytes()).hexdigest()
        return {"weights": weights, "metrics": metrics(path)}

    def metrics(path: Path) -> list[dict[str, Any]]:
        file = path / "metrics.jsonl"
        raw = file.read_bytes() if file.exists() else b""
        return without_timings(raw[: raw.rfind(b"\n") + 1])

    def progress(path: Path, whole: Any) -> int:
        found = metrics(path)
        if found != whole["metrics"][: len(found)]:
            raise Broken(f"{path / 'metrics.jsonl'} is not the beginning of the undisturbed one")
        kept = list_checkpoints(path / "checkpoints")
        for checkpoint in kept:
            read_checkpoint(checkpoint)  # an error where it is not whole
        return int(kept[0].name.rpartition("-")[2]) if kept else 0

    return Task("train", words, lambda path: path / "metrics.jsonl", result, progress)


def tell(task: Task, model: Path) -> dict[str, Any]:
    words = ["MODEL" if word == str(model) else word for word in task.words(Path("OUTPUT"))]
    return {
        "command": shlex.join(["latentsmooth", *words]),
        "kills": len(task.kills),
        "by_signal": dict(Counter(each["signal"] for each in task.kills)),
        "by_exit_code": {str(k): n for k, n in Counter(e["code"] for e in task.kills).items()},
        "runs_compared": task.rounds,
        "all_equal": True,
        "start_seconds": round(task.start, 2),
        "seconds": round(task.seconds, 1),
        "events": task.kills,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="half of them for each command")
    parser.add_argument("--images", type=int, default=400, help="images to certify")
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        train = training(arguments.train_images, arguments.epochs)
        model = folder / "train" / "straight"
        certify = certifying(model, arguments.images)
        counts = {train.name: arguments.kills // 2, certify.name: -(-arguments.kills // 2)}
        try:
            for task in (train, certify):
                (folder / task.name).mkdir()
                disturb(task, counts[task.name], chance, folder / task.name)
        except Broken as error:
            print(f"broken: {error}", file=sys.stderr)
            return 1
    sizes = {name: value for name, value in vars(arguments).items() if name != "output"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()]
    result: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/kills.py", *flags]),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe_machine(torch.device("cpu")),
        "versions": package_versions(),
        "tasks": {task.name: tell(task, model) for task in (train, certify)},
    }
    text = json.dumps(result, indent=1) + "\n"
    if arguments.output is not None:
        write_whole(arguments.output, text)
    for name, task in result["tasks"].items():
        print(name, {key: value for key, value in task.items() if key != "events"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
