"""Gaussian noise keyed by (seed, image index, phase, draw): one definition, the same bits."""

from latentsmooth.smoothing.noise.choice import Implementation, noise_filler
from latentsmooth.smoothing.noise.definition import (
    GRADES,
    LARGEST_NORMAL,
    NOISE_DEFINITIONS,
    Grade,
    Phase,
    noise_key,
)
from latentsmooth.smoothing.noise.filler import NoiseFiller
from latentsmooth.smoothing.noise.inverse import REACH, SMALLEST_RATIO, inverse_table

__all__ = [
    "GRADES",
    "LARGEST_NORMAL",
    "NOISE_DEFINITIONS",
    "REACH",
    "SMALLEST_RATIO",
    "Grade",
    "Implementation",
    "NoiseFiller",
    "Phase",
    "inverse_table",
    "noise_filler",
    "noise_key",
]
