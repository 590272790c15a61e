"""Where a run stands: everything that is not a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["RunState", "Tally"]


@dataclass
class Tally:
    """Sums over some steps: of the loss, of the correct answers, of the images."""

    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0

    def add(self, loss_sum: float, correct: int, images: int) -> None:
        """Count one step's sums in."""
        self.loss_sum += loss_sum
        self.correct += correct
        self.images += images

    @property
    def loss(self) -> float:
        """Mean loss an image; 0 for no images."""
        return self.loss_sum / max(1, self.images)

    @property
    def accuracy(self) -> float:
        """Share of correct answers; 0 for no images."""
        return self.correct / max(1, self.images)


@dataclass
class RunState:
    """Progress of a run, as kept in a checkpoint.

    Args:
        step: steps taken.
        window: sums since the last line of the log.
        epoch: sums since the epoch began.
        last_epoch: sums of the last full epoch.
        validation: the last validation, as a dictionary.
        seconds: wall time, earlier sittings included.
        training_seconds: the same without validation and checkpoints.
    """

    step: int = 0
    window: Tally = field(default_factory=Tally)
    epoch: Tally = field(default_factory=Tally)
    last_epoch: Tally = field(default_factory=Tally)
    validation: dict[str, Any] | None = None
    seconds: float = 0.0
    training_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the state as a dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunState:
        """Return the state that `to_json` gave."""
        tallies = {name: Tally(**values[name]) for name in ("window", "epoch", "last_epoch")}
        return cls(**{**values, **tallies})
