"""A run's folder: whose it is, where it stands, and whether it is done."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.files import hold, make_folder
from latentsmooth.training.checkpoint import (
    list_checkpoints,
    prune_checkpoints,
    read_checkpoint,
    write_checkpoint,
    write_json,
)
from latentsmooth.training.metrics import truncate_metrics
from latentsmooth.training.state import RunState
from latentsmooth.training.summary import TrainingSummary

__all__ = ["RunFolder"]

_KEPT = 2
_FINAL = "final"
_log = logging.getLogger(__name__)


class RunFolder:
    """What a run keeps on disk.

    ``run.json`` names the run (settings, data, build, weights' shapes), ``checkpoints/`` holds the
    last two checkpoints, ``metrics.jsonl`` the log, ``summary.json`` the end; ``.lock`` is locked
    by the process that writes them.

    Args:
        path: the folder; made if missing.
        identity: JSON-able description of the run; a folder of another run is refused.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._identity = _as_noted(path / "run.json", json.loads(json.dumps(identity)))
        text = json.dumps(self._identity, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the folder for this process alone while inside, as this run's.

        Raises:
            ConfigurationError: another process trains there, it is another run's, or it cannot be
                written to, at once or later.
        """
        try:
            make_folder(self.path)
            with hold(self.path / ".lock"):
                self.claim()
                yield
        except BlockingIOError as error:
            raise ConfigurationError(f"{self.path}: another process is training there") from error
        except OSError as error:
            raise ConfigurationError(f"{self.path}: cannot go on there: {error}") from error

    def claim(self) -> None:
        """Make the folder this run's; one that is another run's is a `ConfigurationError`."""
        file = self.path / "run.json"
        if not file.exists():
            if list_checkpoints(self.checkpoints):
                raise CorruptArtifact(f"{self.path} has checkpoints but no run.json saying whose")
            write_json(file, self._identity)
            return
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorruptArtifact(f"{file} is not JSON ({error})") from None
        differences = _differences(stored, self._identity)
        if differences:
            raise ConfigurationError(
                f"{self.path} holds another run: {'; '.join(differences[:5])}; "
                "take another output folder, or delete this one to start anew"
            )

    def finished(self) -> tuple[TrainingSummary, dict[str, Tensor]] | None:
        """Return the summary and the final weights if the run is done, else ``None``."""
        file = self.path / "summary.json"
        if not file.exists():
            return None
        try:
            summary = TrainingSummary.from_json(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise CorruptArtifact(f"{file}: {error}") from None
        tensors, _ = self._read(self.checkpoints / _FINAL)
        return summary, tensors

    def latest(self) -> tuple[dict[str, Tensor], RunState] | None:
        """Return the latest whole checkpoint, or ``None`` before the first.

        Damaged ones are passed over with a warning in the log and deleted; if no whole one is
        left, that is a `CorruptArtifact`.
        """
        problem: CorruptArtifact | None = None
        for path in list_checkpoints(self.checkpoints):
            try:
                tensors, values = self._read(path)
                return tensors, RunState.from_json(values["state"])
            except CorruptArtifact as error:
                problem = problem or error
                _log.warning("passing over a damaged checkpoint: %s", error)
        if problem is not None:
            raise CorruptArtifact(
                f"no usable checkpoint is left in {self.checkpoints} ({problem}); "
                "delete the folder to start anew"
            )
        return None

    def rewind(self, step: int) -> None:
        """Drop what is later than ``step``: damaged checkpoints and lines of the log."""
        for path in list_checkpoints(self.checkpoints):
            if int(path.name.rpartition("-")[2]) > step:
                shutil.rmtree(path)
        truncate_metrics(self.path / "metrics.jsonl", step=step)

    def save(self, tensors: Mapping[str, Tensor], state: RunState) -> None:
        """Write the checkpoint of ``state`` and delete all but the last two."""
        name = f"checkpoint-{state.step:08d}"
        self._write(name, tensors, {"state": state.to_json()})
        prune_checkpoints(self.checkpoints, keep=_KEPT)

    def finish(self, tensors: Mapping[str, Tensor], summary: TrainingSummary) -> None:
        """Keep the final weights and the summary; checkpoints are no longer needed."""
        self._write(_FINAL, tensors, {})
        write_json(self.path / "summary.json", summary.to_json())
        prune_checkpoints(self.checkpoints, keep=0)

    def _write(self, name: str, tensors: Mapping[str, Tensor], values: dict[str, Any]) -> None:
        values = {"run": self._digest, **values}
        write_checkpoint(self.checkpoints, name, tensors=tensors, values=values)

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, values = read_checkpoint(path)
        if values.get("run") != self._digest:
            raise CorruptArtifact(f"{path} belongs to another run than {self.path / 'run.json'}")
        return tensors, values


def _as_noted(file: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity as a run noted it that began before the build was part of it."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return identity
    if isinstance(stored, dict) and "build" not in stored:
        identity.pop("build", None)
    return identity


def _differences(stored: Any, wanted: Any, prefix: str = "") -> list[str]:
    """Return ``<name> is <stored> there and <wanted> here`` for every leaf that differs."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        found = []
        for key in sorted({*stored, *wanted}):
            name = f"{prefix}{key}"
            found += _differences(stored.get(key), wanted.get(key), f"{name}.")
        return found
    if stored == wanted:
        return []
    return [f"{prefix.rstrip('.')} is {stored!r} there and {wanted!r} here"]
