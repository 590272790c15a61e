"""Training under latent noise: objectives, the loop, checkpoints."""

from latentsmooth.training.loop import train
from latentsmooth.training.objectives import default_options, list_objectives
from latentsmooth.training.settings import TrainingSettings
from latentsmooth.training.summary import TrainingSummary
from latentsmooth.training.validation import ValidationResult, validate

__all__ = [
    "TrainingSettings",
    "TrainingSummary",
    "ValidationResult",
    "default_options",
    "list_objectives",
    "train",
    "validate",
]
