"""Cross-entropy under Gaussian noise in the latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import batched_weights

__all__ = ["GaussianObjective", "add_latent_noise"]


def add_latent_noise(latents: Tensor, *, latent_sigma: float, generator: torch.Generator) -> Tensor:
    """Return ``latents + e`` with ``e ~ N(0, latent_sigma² I)``, in float32.

    Args:
        latents: ``(batch, *latent_shape)``, any floating type.
        latent_sigma: standard deviation of the noise, in the latent's units.
        generator: source of the noise, on the latents' device.

    >>> generator = torch.Generator().manual_seed(0)
    >>> noisy = add_latent_noise(torch.zeros(1, 4), latent_sigma=0.5, generator=generator)
    >>> noisy.shape
    torch.Size([1, 4])
    """
    latents = latents.float()
    # drawn in memory order: normal_ takes ten times as long on a channels-last tensor
    channels_last = latents.ndim == 4 and not latents.is_contiguous()
    rows = latents.permute(0, 2, 3, 1) if channels_last else latents
    noise = torch.empty(rows.shape, device=latents.device)
    noise.normal_(0.0, latent_sigma, generator=generator)
    return latents + (noise.permute(0, 3, 1, 2) if channels_last else noise)


@dataclass(frozen=True)
class GaussianObjective:
    """The mean of ``-log softmax(head(encoder(x) + e))[y]`` over a batch, one noise draw an image.

    Training the head on the noise it will be smoothed with is what makes its votes agree.
    Source: J. Cohen, E. Rosenfeld, Z. Kolter, arXiv 1902.02918; in the latent: H. Zeng, J. Su,
    F. Huang, arXiv 2108.00491.

    Args:
        label_smoothing: share of the target spread evenly over all classes.
        bfloat16: whether encoder and head compute in bfloat16; noise and loss are float32.
    """

    label_smoothing: float = 0.0
    bfloat16: bool = False

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the logits ``(batch, classes)``, as `Objective` says."""
        low_precision = torch.autocast(
            images.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False
        )
        with low_precision, batched_weights(model.encoder):
            latents = model.encoder(images)
        noisy = add_latent_noise(latents, latent_sigma=model.latent_sigma, generator=generator)
        with low_precision:
            logits = model.head(noisy)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return loss, logits
