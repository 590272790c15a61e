from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from latentsmooth.errors import CorruptArtifact
from latentsmooth.training.checkpoint import (
    list_checkpoints,
    load_model_tensors,
    prune_checkpoints,
    read_checkpoint,
    write_checkpoint,
)


def test_tensors_and_values_come_back(tmp_path: Path) -> None:
    image_like = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = {"a": image_like, "b": image_like, "c": torch.tensor(7), "d": image_like[:, 1]}
    path = write_checkpoint(tmp_path, "checkpoint-3", tensors=tensors, values={"loss": 0.1})
    found, values = read_checkpoint(path)
    assert values["loss"] == 0.1
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_an_older_one_of_the_name_is_replaced(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        tensors = {"a": torch.tensor(value)}
        path = write_checkpoint(tmp_path, "checkpoint-3", tensors=tensors, values={})
    assert float(read_checkpoint(path)[0]["a"]) == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_a_full_disk_leaves_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, "checkpoint-3", tensors={"a": torch.ones(1)}, values={})

    def no_space(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        for name in ("checkpoint-3", "checkpoint-4"):
            with pytest.raises(OSError, match=r"No space left on device: '.*state\.safetensors'"):
                write_checkpoint(tmp_path, name, tensors={"a": torch.zeros(1)}, values={})
    [left] = list_checkpoints(tmp_path)
    assert float(read_checkpoint(left)[0]["a"]) == 1.0
    prune_checkpoints(tmp_path, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_around_the_renames_leaves_whole_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    for step in (2, 3):
        tensors = {"a": torch.tensor(float(step))}
        write_checkpoint(tmp_path, f"checkpoint-{step}", tensors=tensors, values={})
    rename = Path.rename
    done: list[Path] = []

    def killed(self: Path, target: Path) -> Path:
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, "checkpoint-3", tensors={"a": torch.tensor(9.0)}, values={})
    monkeypatch.undo()
    found = [float(read_checkpoint(path)[0]["a"]) for path in list_checkpoints(tmp_path)]
    assert found == [3.0, 2.0][renames:]
    prune_checkpoints(tmp_path, keep=2)
    assert all(path.name.startswith("checkpoint-") for path in tmp_path.iterdir())


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, "checkpoint-3", tensors={"a": torch.rand(9)}, values={})
    state, weights = path / "state.json", path / "state.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(CorruptArtifact, match=r"state\.safetensors: sha256 is"):
        read_checkpoint(path)
    weights.unlink()
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        read_checkpoint(path)
    weights.write_bytes(whole)
    state.write_text(json.dumps({**json.loads(state.read_text()), "schema": 99}))
    with pytest.raises(CorruptArtifact, match="schema 99"):
        read_checkpoint(path)
    state.write_text("{")
    with pytest.raises(CorruptArtifact, match=r"state\.json cannot be read"):
        read_checkpoint(path)


def test_the_latest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        write_checkpoint(tmp_path, f"checkpoint-{step}", tensors={"a": torch.ones(1)}, values={})
    (tmp_path / ".draft-checkpoint-101").mkdir()
    (tmp_path / "checkpoint-notes").mkdir()
    prune_checkpoints(tmp_path, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-100", "checkpoint-10"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint-100",
        "checkpoint-10",
        "checkpoint-notes",
    }


def test_foreign_weights_are_named() -> None:
    model, source = nn.Linear(2, 3), Path("somewhere")
    weight, bias = torch.zeros(3, 2), torch.zeros(3)
    with pytest.raises(CorruptArtifact, match="lacks the weight 'bias'"):
        load_model_tensors(model, {"weight": weight}, source=source)
    with pytest.raises(CorruptArtifact, match="holds 'scale'"):
        load_model_tensors(model, {"weight": weight, "bias": bias, "scale": bias}, source=source)
    with pytest.raises(CorruptArtifact, match=r"bias has shape \(2,\), this model's has \(3,\)"):
        load_model_tensors(model, {"weight": weight, "bias": bias[:2]}, source=source)
