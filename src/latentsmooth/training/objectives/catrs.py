"""Training by how confident the smoothed head is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import batched_weights
from latentsmooth.training.objectives.attack import ascend, lengths, steady, within_ball
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import latent_noise, repeat_draws
from latentsmooth.training.objectives.options import count, number
from latentsmooth.training.objectives.probabilities import by_draw, kl_divergence, log_soft_vote
from latentsmooth.training.objectives.teacher import teacher_vote

__all__ = ["CatrsObjective", "bottom_mean"]


def bottom_mean(losses: Tensor, kept: Tensor) -> Tensor:
    """Return the sum of each image's ``kept`` smallest losses over the number of draws.

    Args:
        losses: ``(draws, batch)``.
        kept: ``(batch,)`` int64, from 1 to the number of draws.

    Returns:
        ``(batch,)``.

    >>> bottom_mean(torch.tensor([[3.0], [1.0], [2.0], [9.0]]), torch.tensor([2]))
    tensor([0.7500])
    """
    rank = torch.arange(len(losses), device=losses.device)[:, None]
    return torch.where(rank < kept, losses.sort(dim=0).values, 0.0).mean(0)


@dataclass(frozen=True, kw_only=True)
class CatrsObjective(LatentObjective):
    r"""The easiest draws of images the head is unsure of, the worst noise of the others.

    With K drawn from Binomial(M, p), p the share of the M draws that vote for the label:

    .. math:: \frac{1}{M} \sum_{i=1}^{\max(K, 1)} \mathrm{CE}_{(i)}
              + [K = M] \, \lambda \max_i \max_{\|e_i' - e_i\| \le \epsilon}
              \mathrm{KL}(t \,\|\, \mathrm{softmax}(g(z + e_i')))

    with the losses sorted upwards and t a soft vote: the ``teacher``'s, as published (a
    Gaussian-trained network's), or where there is none the head's own; p is the head's own either
    way (published so for CIFAR-10; for ImageNet it was the teacher's). The noise is attacked by
    projected gradient ascent in the latent at its own length, so that it stays likely; the encoder
    runs once. The published lambda is 0.5, 1 and 2 at sigma 0.25, 0.5 and 1: 2 sigma.
    Source: J. Jeong, S. Kim, J. Shin, "Confidence-aware Training of Smoothed Classifiers for
    Certified Robustness", arXiv 2212.09000.

    Args:
        draws: M, noise draws an image.
        epsilon: l2 radius in the latent by which noise is attacked.
        steps: of the ascent, each of length 2 epsilon / steps.
        weight: lambda in units of ``latent_sigma``.
        teacher_draws: noise draws of the teacher, if there is one.
        teacher: a trained classifier whose soft vote is t.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(4)
    epsilon: float = number(1.0, above=0)
    steps: int = count(4)
    weight: float = number(2.0, least=0)
    teacher_draws: int = count(4)

    uses_teacher: ClassVar[Literal["never", "optionally", "always"]] = "optionally"

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
        with batched_weights(model.encoder, model.head):
            latents = self.run_encoder(model, images)
            noise = latent_noise(
                latents, latent_sigma=model.latent_sigma, generator=generator, draws=self.draws
            )
            logits = self.vote(model, repeat_draws(latents, self.draws) + noise)
            target = self._target(images, logits.detach(), generator)
            worst = self.attack(model, latents.detach(), target, noise)
            attacked = self.vote(model, repeat_draws(latents, self.draws) + worst)
        tosses = torch.rand(self.draws, len(images), device=images.device, generator=generator)
        right = by_draw(logits.argmax(1), self.draws) == labels
        successes = (tosses < right.float().mean(0)).sum(0)
        losses = F.cross_entropy(
            logits,
            repeat_draws(labels, self.draws),
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        low = bottom_mean(by_draw(losses, self.draws), successes.clamp_min(1))
        high = kl_divergence(target, by_draw(attacked.log_softmax(1), self.draws)).amax(0)
        high = torch.where(successes == self.draws, high, 0.0)
        loss = low + self.weight * model.latent_sigma * high
        return loss.mean(), logits[: len(labels)]

    def attack(
        self, model: LatentSmoothedClassifier, latents: Tensor, target: Tensor, noise: Tensor
    ) -> Tensor:
        """Return noise within ``epsilon`` of the noise given, where votes leave the target.

        Args:
            model: the classifier in training.
            latents: ``(batch, *latent_shape)``.
            target: ``(batch, classes)``, log-probabilities.
            noise: ``(draws * batch, *latent_shape)``.
        """
        repeated, length = repeat_draws(latents, self.draws), lengths(noise)

        def loss(point: Tensor) -> Tensor:
            votes = self.vote(model, repeated + point).log_softmax(1)
            return kl_divergence(target, by_draw(votes, self.draws)).sum()

        def restrict(point: Tensor) -> Tensor:
            return within_ball(point * (length / lengths(point)), noise, self.epsilon)

        with steady(model.head):
            return ascend(
                loss,
                noise,
                steps=self.steps,
                step_size=2 * self.epsilon / self.steps,
                restrict=restrict,
            )

    def _target(self, images: Tensor, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Return the logarithm of the soft vote to keep, ``(batch, classes)``."""
        if self.teacher is None:
            return log_soft_vote(logits, self.draws)
        return teacher_vote(
            self.teacher,
            images,
            draws=self.teacher_draws,
            generator=generator,
            precision=self.low_precision(images.device),
        )
