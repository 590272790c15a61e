"""Cross-entropy under Gaussian noise in the latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import repeat_draws
from latentsmooth.training.objectives.options import count

__all__ = ["GaussianObjective"]


@dataclass(frozen=True, kw_only=True)
class GaussianObjective(LatentObjective):
    r"""Cross-entropy of the head under Gaussian noise in the latent.

    .. math:: \frac{1}{m} \sum_{i=1}^m -\log \mathrm{softmax}(g(h(x) + e_i))_y,
              \quad e_i \sim N(0, \sigma^2 I)

    Training the head on the noise it will be smoothed with is what makes its votes agree. The
    encoder h runs once an image however many draws m there are; the head runs on all of them as
    one batch.
    Source: J. Cohen, E. Rosenfeld, Z. Kolter, "Certified Adversarial Robustness via Randomized
    Smoothing", arXiv 1902.02918; in the latent: H. Zeng, J. Su, F. Huang, arXiv 2108.00491.

    Args:
        draws: noise draws an image.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(1)

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        progress: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the first draw's logits ``(batch, classes)``."""
        latents = self.encode(model, images)
        logits = self.noisy_votes(model, latents, draws=self.draws, generator=generator)
        return self.cross_entropy(logits, repeat_draws(labels, self.draws)), logits[: len(labels)]
