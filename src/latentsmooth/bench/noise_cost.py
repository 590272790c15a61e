"""What the noise alone costs."""

from __future__ import annotations

import math

import torch

from latentsmooth.bench.contender import best_rate
from latentsmooth.bench.engine import Engine
from latentsmooth.machine import dtype_of
from latentsmooth.smoothing import Phase, noise_filler, noise_key

__all__ = ["noise_nanoseconds"]


def noise_nanoseconds(engine: Engine, *, seconds: float = 0.3) -> float:
    """Nanoseconds an element of one batch of noisy latents, as the engine fills it.

    Args:
        engine: whose batch size, latent and precision.
        seconds: spent measuring.
    """
    certifier = engine.certifier
    rows, size = certifier.batch_size, math.prod(certifier.latent_shape)
    device = certifier.device
    key = noise_key(seed=0, index=0)
    plan = torch.tensor([[0, key, Phase.ESTIMATE, draw] for draw in range(rows)], device=device)
    latents = torch.zeros(1, size, device=device)
    out = torch.empty(rows, size, dtype=dtype_of(certifier.precision), device=device)
    filler = noise_filler(device, grade=certifier.noise)
    lattice = certifier.prepared.lattice
    rates = best_rate(
        [rows],
        lambda _: (
            lambda: filler.fill(
                out, latents, plan, latent_sigma=lattice.latent_sigma, step=lattice.step
            )
        ),
        device,
        seconds=seconds,
    )
    return 1e9 / (rates[rows] * size)
