"""Predictions that agree over the noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import repeat_draws
from latentsmooth.training.objectives.options import count, number
from latentsmooth.training.objectives.probabilities import (
    by_draw,
    entropy,
    kl_divergence,
    log_soft_vote,
)

__all__ = ["ConsistencyObjective"]


@dataclass(frozen=True, kw_only=True)
class ConsistencyObjective(LatentObjective):
    r"""Cross-entropy, and the noisy predictions' distance from their mean.

    .. math:: \frac{1}{m} \sum_i \mathrm{CE}(p_i, y)
              + \lambda \frac{1}{m} \sum_i \mathrm{KL}(\bar p \,\|\, p_i) + \eta H(\bar p)

    with p_i the head's probabilities under noise draw i and their mean :math:`\bar p`, the soft
    vote. Draws that agree are a vote with a large margin; the entropy term keeps them from
    agreeing on nothing. The published weights for CIFAR-10 are 20 at sigma 0.25, else 10.
    Source: J. Jeong, J. Shin, "Consistency Regularization for Certified Robustness of Smoothed
    Classifiers", arXiv 2006.04062.

    Args:
        draws: m, noise draws an image.
        weight: lambda, of the divergence.
        entropy_weight: eta, of the entropy of the soft vote.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(2, least=2)
    weight: float = number(10.0, least=0)
    entropy_weight: float = number(0.5, least=0)

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
        vote = log_soft_vote(logits, self.draws)
        divergence = kl_divergence(vote, by_draw(logits.log_softmax(1), self.draws))
        loss = (
            self.cross_entropy(logits, repeat_draws(labels, self.draws))
            + self.weight * divergence.mean()
            + self.entropy_weight * entropy(vote).mean()
        )
        return loss, logits[: len(labels)]
