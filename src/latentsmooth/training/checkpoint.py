"""Checkpoints without pickle: tensors as safetensors, the rest as JSON, all or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from latentsmooth.errors import CorruptArtifact
from latentsmooth.files import DRAFT_SUFFIX, make_folder, replace_folder, write_whole
from latentsmooth.training.average import state_tensors

__all__ = [
    "list_checkpoints",
    "load_model_tensors",
    "prune_checkpoints",
    "read_checkpoint",
    "write_checkpoint",
    "write_json",
]

_SCHEMA = 1
_PREFIX = "checkpoint-"
_DRAFT = ".draft-"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` to ``path`` in one piece: a reader sees all of it or none."""
    write_whole(path, json.dumps(values, indent=1, sort_keys=True))


def write_checkpoint(
    folder: Path, name: str, *, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> Path:
    """Write a checkpoint folder ``name`` under ``folder`` and return its path.

    It is written under another name, synced and renamed at the end, so that a kill or a power cut
    leaves a whole checkpoint or none.

    Args:
        folder: where checkpoints live; made if missing.
        name: the checkpoint's name; an older one of that name is replaced.
        tensors: by name, any device and memory layout.
        values: JSON-able; everything that is not a tensor.

    Raises:
        OSError: the disk refuses; what was there before is there still.
    """
    target, draft = folder / name, folder / (_DRAFT + name)
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft)
    # cloned: safetensors refuses tensors that share memory or are not laid out in order
    plain = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in tensors.items()
    }
    weights = save(plain)
    write_whole(draft / "state.safetensors", weights)
    content = {"schema": _SCHEMA, "sha256": hashlib.sha256(weights).hexdigest(), **values}
    write_json(draft / "state.json", content)
    replace_folder(draft, target)
    return target


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a checkpoint's tensors (on the CPU) and values; damage is a `CorruptArtifact`."""
    try:
        values = json.loads((path / "state.json").read_text(encoding="utf-8"))
        schema, expected = values["schema"], values["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(f"{path}: state.json cannot be read ({error!r})") from None
    if schema != _SCHEMA:
        raise CorruptArtifact(f"{path}: schema {schema!r}; this version reads {_SCHEMA}")
    file = path / "state.safetensors"
    try:
        found = _sha256(file)
        if found != expected:
            raise CorruptArtifact(f"{file}: sha256 is {found[:12]}…, expected {expected[:12]}…")
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CorruptArtifact(f"{file} cannot be read ({error})") from None
    return tensors, values


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints ``checkpoint-<step>`` under ``folder``, latest step first."""
    found = []
    for path in folder.glob(f"{_PREFIX}*"):
        step = path.name.removeprefix(_PREFIX)
        if path.is_dir() and step.isdecimal():
            found.append((int(step), path))
    return [path for _, path in sorted(found, reverse=True)]


def prune_checkpoints(folder: Path, *, keep: int) -> None:
    """Delete all but the ``keep`` latest checkpoints, and drafts that a killed process left."""
    drafts = (*folder.glob(f"{_DRAFT}*"), *folder.glob(f".*{DRAFT_SUFFIX}"))
    for path in (*list_checkpoints(folder)[keep:], *drafts):
        shutil.rmtree(path, ignore_errors=True)


@torch.no_grad()
def load_model_tensors(model: nn.Module, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Copy ``tensors`` into the model's state; other names or shapes are a `CorruptArtifact`."""
    state = state_tensors(model)
    if missing := sorted(set(state) - set(tensors)):
        raise CorruptArtifact(f"{source} lacks the weight {missing[0]!r} of this model")
    if extra := sorted(set(tensors) - set(state)):
        raise CorruptArtifact(f"{source} holds {extra[0]!r}, which this model does not have")
    for name, value in state.items():
        if value.shape != tensors[name].shape:
            raise CorruptArtifact(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, "
                f"this model's has {tuple(value.shape)}"
            )
        value.copy_(tensors[name])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
