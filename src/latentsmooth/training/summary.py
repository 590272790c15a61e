"""What a finished training run says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from latentsmooth.errors import CorruptArtifact

__all__ = ["TrainingSummary"]


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """The outcome of a training run; JSON-able, kept with the trained classifier.

    Args:
        epochs: passes over the training images.
        steps: optimisation steps taken.
        final_loss: mean training loss of the last epoch.
        train_accuracy: accuracy over the last epoch's noisy, augmented images, a fraction.
        validation: the last validation's `ValidationResult` as a dictionary, or ``None``.
        images_per_second: training speed, validation and checkpoints left out.
        seconds: wall time of the whole run, summed over its resumptions.
        settings: the `TrainingSettings` as a dictionary.
        precision: arithmetic of the networks: "bfloat16" or "float32".
        processes: how many processes trained together.
        latent_sigma: standard deviation of the noise.
        data: source, fingerprint and number of the training images.
        machine: device, threads, versions.
        teacher: fingerprint of the classifier learnt from, or ``None``.
    """

    epochs: int
    steps: int
    final_loss: float
    train_accuracy: float
    validation: dict[str, Any] | None
    images_per_second: float
    seconds: float
    settings: dict[str, Any]
    precision: str
    processes: int
    latent_sigma: float
    data: dict[str, Any]
    machine: dict[str, Any]
    teacher: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingSummary:
        """Return the summary that `to_json` gave; missing or extra fields are `CorruptArtifact`."""
        try:
            return cls(**values)
        except TypeError as error:
            raise CorruptArtifact(f"not a training summary: {error}") from None
