"""Votes of a head over keyed Gaussian noise around a latent."""

from latentsmooth.smoothing.head import (
    HeadPrecision,
    default_batch_size,
    prepare_head,
    resolve_precision,
)
from latentsmooth.smoothing.noise import NOISE_CHUNK, NoiseStream, Phase
from latentsmooth.smoothing.votes import count_votes

__all__ = [
    "NOISE_CHUNK",
    "HeadPrecision",
    "NoiseStream",
    "Phase",
    "count_votes",
    "default_batch_size",
    "prepare_head",
    "resolve_precision",
]
