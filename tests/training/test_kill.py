from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from tests.training.test_loop import assert_same, read_metrics, run

ROOT = Path(__file__).parents[2]


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    threads = str(torch.get_num_threads())
    command = [sys.executable, "-m", "tests.training.worker", str(killed), "15", threads]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert sorted(path.name for path in (killed / "checkpoints").iterdir()) == [
        "checkpoint-00000008",
        "checkpoint-00000012",
    ]
    expected, _ = run(straight)
    model, _ = run(killed, seed=5)
    assert_same(model, expected)
    assert read_metrics(killed) == read_metrics(straight)
