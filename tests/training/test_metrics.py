from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError
from latentsmooth.training.metrics import MetricsLog, load_tensorboard, truncate_metrics


def test_lines_are_json(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=False)
    log.write("step", step=3, epoch=1, loss=0.5)
    [line] = (tmp_path / "metrics.jsonl").read_text().splitlines()
    log.close()
    assert json.loads(line) == {"event": "step", "step": 3, "epoch": 1, "loss": 0.5}


@pytest.mark.parametrize("tail", ["", '{"event": "step", "st', "nonsense\n", "\x00\x00"])
def test_truncation_keeps_what_the_checkpoint_knows(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step}) + "\n" for step in (3, 6, 9)]
    path.write_text("".join(lines) + tail)
    truncate_metrics(path, step=10)
    assert path.read_text() == "".join(lines)
    truncate_metrics(path, step=6)
    assert path.read_text() == "".join(lines[:2])


def test_a_log_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    truncate_metrics(tmp_path / "metrics.jsonl", step=1)
    assert not list(tmp_path.iterdir())


def test_tensorboard_files_are_written(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=True)
    log.write("step", step=3, epoch=1, loss=0.5)
    log.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_missing_tensorboard_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigurationError, match="pip install tensorboard"):
        load_tensorboard()
