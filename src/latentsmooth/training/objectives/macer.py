"""The certified radius itself, maximised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.options import count, number
from latentsmooth.training.objectives.probabilities import (
    by_draw,
    log_soft_vote,
    soft_cross_entropy,
)

__all__ = ["MacerObjective", "radius_hinge"]


def radius_hinge(vote: Tensor, labels: Tensor, *, margin: float, latent_sigma: float) -> Tensor:
    r"""Return how far each correct image's latent radius falls short of a margin: ``(batch,)``.

    .. math:: \frac{\sigma}{2} \max(0, \gamma - \xi), \quad
              \xi = \Phi^{-1}(\bar p_y) - \max_{c \ne y} \Phi^{-1}(\bar p_c)

    It is 0 for an image whose most voted class is wrong, and where :math:`\xi` is beyond the
    margin or not finite.

    Args:
        vote: ``(batch, classes)``, probabilities averaged over the noise.
        labels: ``(batch,)`` int64.
        margin: gamma, in units of sigma / 2.
        latent_sigma: standard deviation of the noise.

    >>> vote = torch.tensor([[0.8413447, 0.1586553], [0.2, 0.8]])
    >>> radius_hinge(vote, torch.tensor([0, 0]), margin=3.0, latent_sigma=0.5)
    tensor([0.2500, 0.0000])
    """
    top, classes = vote.topk(2, dim=1)
    with torch.no_grad():
        gap = torch.special.ndtri(top[:, 0]) - torch.special.ndtri(top[:, 1])
        counts = (classes[:, 0] == labels) & gap.isfinite() & (gap <= margin)
    # what does not count is replaced first: the gradient of an infinite radius is not a number
    inside = torch.where(counts[:, None], top, 0.5)
    gap = torch.special.ndtri(inside[:, 0]) - torch.special.ndtri(inside[:, 1])
    return torch.where(counts, margin - gap, 0.0) * (latent_sigma / 2)


@dataclass(frozen=True, kw_only=True)
class MacerObjective(LatentObjective):
    r"""Cross-entropy of the soft vote, and a hinge on the certified radius of correct images.

    .. math:: -\log \bar p_y + \lambda \frac{\sigma}{2} \max(0, \gamma - \xi)

    with :math:`\xi` as in `radius_hinge`, of probabilities sharpened by beta. No attack is needed:
    the radius is differentiable in the votes. The published weights for CIFAR-10 are 12 at sigma
    0.25, 4 at 0.5 and 12 at 1.0, the last without the hinge until the learning rate first drops:
    at 200 of 440 epochs, or 50 of 150 in the reruns of the CAT-RS paper. In short runs the hinge of
    an untrained head drowns the cross-entropy, so the default ``delay`` is that third for every
    sigma; 0 is the original at 0.25 and 0.5.
    Source: R. Zhai et al., "MACER: Attack-free and Scalable Robust Training via Maximizing
    Certified Radius", arXiv 2001.02378.

    Args:
        draws: k, noise draws an image.
        weight: lambda, of the hinge.
        margin: gamma, the gap of normal quantiles beyond which an image is left alone.
        sharpness: beta, inverse temperature of the probabilities in the hinge.
        delay: share of the training at whose end the hinge sets in.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(16)
    weight: float = number(12.0, least=0)
    margin: float = number(8.0, above=0)
    sharpness: float = number(16.0, above=0)
    delay: float = number(0.33, least=0, most=1)

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
        loss = soft_cross_entropy(
            log_soft_vote(logits, self.draws), labels, label_smoothing=self.label_smoothing
        )
        if progress > self.delay:
            sharp = by_draw((self.sharpness * logits).softmax(1), self.draws).mean(0)
            hinge = radius_hinge(sharp, labels, margin=self.margin, latent_sigma=model.latent_sigma)
            loss = loss + self.weight * hinge
        return loss.mean(), logits[: len(labels)]
