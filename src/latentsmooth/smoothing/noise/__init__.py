"""Gaussian noise keyed by (seed, image index, phase, draw): one definition, the same bits."""

from latentsmooth.smoothing.noise.choice import Implementation, noise_filler
from latentsmooth.smoothing.noise.definition import (
    LARGEST_NORMAL,
    NOISE_DEFINITION,
    Phase,
    noise_key,
)
from latentsmooth.smoothing.noise.filler import NoiseFiller

__all__ = [
    "LARGEST_NORMAL",
    "NOISE_DEFINITION",
    "Implementation",
    "NoiseFiller",
    "Phase",
    "noise_filler",
    "noise_key",
]
