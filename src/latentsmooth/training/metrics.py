"""The run's log: one JSON object a line, and TensorBoard if wanted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from latentsmooth.errors import ConfigurationError
from latentsmooth.files import write_all, write_whole

__all__ = ["MetricsLog", "load_tensorboard", "truncate_metrics"]


def truncate_metrics(path: Path, *, step: int) -> None:
    """Drop every line after ``step`` and a torn last one, so that a resumed run writes them anew.

    A line that cannot be read ends the log: nothing after it is kept.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            line_step = json.loads(line)["step"]
        except (ValueError, TypeError, KeyError):
            break
        if not line.endswith("\n") or line_step > step:
            break
        kept.append(line)
    write_whole(path, "".join(kept))


class MetricsLog:
    """Appends lines to ``metrics.jsonl``, and scalars to TensorBoard if asked to.

    Every line has ``event`` ("step", "epoch" or "validation"), ``step`` and ``epoch``.

    Args:
        folder: the run's folder.
        tensorboard: whether to write TensorBoard's files to ``folder/tensorboard`` too.
        first_step: where a resumed run goes on; TensorBoard hides what it had later.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, first_step: int = 0) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(folder / "metrics.jsonl", flags, 0o666)
        self._writer: Any = None
        if tensorboard:
            writer = load_tensorboard()
            self._writer = writer(str(folder / "tensorboard"), purge_step=first_step + 1)

    def write(self, event: str, *, step: int, epoch: int, **values: float) -> None:
        """Append one line; the values are also TensorBoard's ``event/name``.

        Other processes see it at once; only after `sync` does it outlive a power cut.
        """
        line = {"event": event, "step": step, "epoch": epoch, **values}
        write_all(self._descriptor, (json.dumps(line) + "\n").encode())
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{event}/{name}", value, step)

    def sync(self) -> None:
        """Have every line on the disk, so that no checkpoint is newer than the log before it."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the files."""
        os.close(self._descriptor)
        if self._writer is not None:
            self._writer.close()


def load_tensorboard() -> Any:
    """Return TensorBoard's writer class; `ConfigurationError` if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigurationError(
            "log_tensorboard is true, but the package tensorboard is not installed; "
            "run `pip install tensorboard` or set log_tensorboard to false"
        ) from None
    return SummaryWriter
