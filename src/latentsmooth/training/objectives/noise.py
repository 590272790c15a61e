"""Noisy copies of latents, several an image."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["add_latent_noise", "latent_noise", "repeat_draws"]


def latent_noise(
    like: Tensor, *, latent_sigma: float, generator: torch.Generator, draws: int = 1
) -> Tensor:
    """Return noise ``e ~ N(0, latent_sigma² I)`` for ``draws`` copies of a batch, in float32.

    Args:
        like: ``(batch, *latent_shape)``, whose device and memory layout the noise takes.
        latent_sigma: standard deviation, in the latent's units.
        generator: source of the noise, on the latents' device.
        draws: copies of the batch.

    Returns:
        ``(draws * batch, *latent_shape)``, one whole batch after the other.
    """
    # drawn in memory order: normal_ takes ten times as long on a channels-last tensor
    channels_last = like.ndim == 4 and not like.is_contiguous()
    count, *shape = (like.permute(0, 2, 3, 1) if channels_last else like).shape
    noise = torch.empty((draws * count, *shape), device=like.device)
    noise.normal_(0.0, latent_sigma, generator=generator)
    return noise.permute(0, 3, 1, 2) if channels_last else noise


def repeat_draws(tensor: Tensor, draws: int) -> Tensor:
    """Return ``draws`` copies of a batch, one after the other: ``(draws * batch, ...)``.

    >>> repeat_draws(torch.tensor([1, 2]), 2)
    tensor([1, 2, 1, 2])
    """
    return tensor if draws == 1 else torch.cat([tensor] * draws)


def add_latent_noise(
    latents: Tensor, *, latent_sigma: float, generator: torch.Generator, draws: int = 1
) -> Tensor:
    """Return ``draws`` copies of ``latents + e`` with ``e ~ N(0, latent_sigma² I)``, in float32.

    Args:
        latents: ``(batch, *latent_shape)``, any floating type.
        latent_sigma: standard deviation of the noise, in the latent's units.
        generator: source of the noise, on the latents' device.
        draws: noisy copies of each latent.

    Returns:
        ``(draws * batch, *latent_shape)``, one whole batch after the other.

    >>> generator = torch.Generator().manual_seed(0)
    >>> noisy = add_latent_noise(torch.zeros(1, 4), latent_sigma=0.5, generator=generator)
    >>> noisy.shape
    torch.Size([1, 4])
    """
    latents = latents.float()
    noise = latent_noise(latents, latent_sigma=latent_sigma, generator=generator, draws=draws)
    return repeat_draws(latents, draws) + noise
