from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from latentsmooth.errors import ConfigurationError
from latentsmooth.training import processes
from tests.training.worker import train_together

ROOT = Path(__file__).parents[2]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    group = {
        "ACCELERATE_USE_CPU": "true",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.training.worker", str(shared)]
    workers = [
        subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank}
        )
        for rank in ("0", "1")
    ]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    first, second = (load_file(shared / f"rank-{rank}.safetensors") for rank in (0, 1))
    alone = train_together(tmp_path / "alone").state_dict()
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, atol=1e-4, rtol=1e-3)
    together, single = (
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("shared", "alone")
    )
    assert (together["processes"], single["processes"]) == (2, 1)
    assert together["final_loss"] == pytest.approx(single["final_loss"], rel=1e-3)
    assert together["validation"] == single["validation"]


def test_a_device_that_is_taken_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ValueError("already on cuda")

    monkeypatch.setattr(processes, "Accelerator", refuse)
    with pytest.raises(ConfigurationError, match="cannot be 'cpu' here: already on cuda"):
        processes.start_accelerator(cpu=True)
