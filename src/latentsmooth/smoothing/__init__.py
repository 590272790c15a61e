"""Votes of a head over keyed Gaussian noise around a latent."""

from latentsmooth.smoothing.head import default_batch_size, prepare_head, refuse_mixing
from latentsmooth.smoothing.noise import NOISE_CHUNK, NoiseStream, Phase
from latentsmooth.smoothing.votes import count_votes

__all__ = [
    "NOISE_CHUNK",
    "NoiseStream",
    "Phase",
    "count_votes",
    "default_batch_size",
    "prepare_head",
    "refuse_mixing",
]
