"""Mixing each image with its own adversary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError
from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import batched_weights
from latentsmooth.training.objectives.attack import ascend, steady, within_ball
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import latent_noise, repeat_draws
from latentsmooth.training.objectives.options import count, number
from latentsmooth.training.objectives.probabilities import (
    by_draw,
    kl_divergence,
    log_soft_vote,
    soft_cross_entropy,
)

__all__ = ["SmoothMixObjective"]


@dataclass(frozen=True, kw_only=True)
class SmoothMixObjective(LatentObjective):
    r"""Cross-entropy, and less confidence towards the adversary, by self-mixup.

    An adversary z' is found by unrestricted gradient ascent from the latent z. Between them,
    at :math:`z_\lambda = (1 - \lambda) z + \lambda z'` with lambda uniform on [0, 1/2], the head
    shall vote for :math:`t_\lambda = (1 - \lambda) \bar p(z) + \lambda / K`:

    .. math:: \frac{1}{m} \sum_i \mathrm{CE}(p_i(z), y) + \eta [\arg\max \bar p(z) = y]
              \frac{1}{m} \sum_i \mathrm{KL}(t_\lambda \,\|\, p_i(z_\lambda))

    All of it happens in the latent, so that the encoder runs once. The step size is in units of
    sigma: the published 0.5, 1 and 2 at sigma 0.25, 0.5 and 1 are 2 sigma each. For the smallest
    of them ``clean_steps`` was 0.
    Source: J. Jeong et al., "SmoothMix: Training Confidence-calibrated Smoothed Classifiers for
    Certified Robustness", arXiv 2111.09277.

    Args:
        draws: m, noise draws an image.
        steps: of the ascent.
        step_size: l2 length of a step, in units of ``latent_sigma``.
        clean_steps: steps towards the adversary after which the point stands for the clean one.
        weight: eta, of the mixed loss.
        ramp: share of the training in which the weight and the clean point's way grow from nothing.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(2)
    steps: int = count(4)
    step_size: float = number(2.0, above=0)
    clean_steps: int = count(1, least=0)
    weight: float = number(5.0, least=0)
    ramp: float = number(0.07, least=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clean_steps >= self.steps:
            raise ConfigurationError(
                f"clean_steps of smoothmix must be below its steps, {self.steps}, "
                f"got {self.clean_steps}"
            )

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
        growth = min(1.0, progress / self.ramp) if self.ramp else 1.0
        with batched_weights(model.encoder, model.head):
            latents = self.run_encoder(model, images)
            noise = latent_noise(
                latents, latent_sigma=model.latent_sigma, generator=generator, draws=self.draws
            )
            near, far = self.attack(model, latents.detach(), labels, noise, growth)
            clean = latents + (near - latents.detach())
            logits = self.vote(model, repeat_draws(clean, self.draws) + noise)
            share = torch.rand(len(images), device=images.device, generator=generator) / 2
            mixed = torch.lerp(clean, latents + (far - latents.detach()), _spread(share, latents))
            mixed_logits = self.vote(model, repeat_draws(mixed, self.draws) + noise)
        vote = log_soft_vote(logits, self.draws)
        target = torch.lerp(vote.exp(), torch.full_like(vote, 1 / vote.shape[1]), share[:, None])
        divergence = kl_divergence(
            target.clamp_min(1e-30).log(), by_draw(mixed_logits.log_softmax(1), self.draws)
        ).mean(0)
        right = (vote.argmax(1) == labels).float()
        loss = self.cross_entropy(logits, repeat_draws(labels, self.draws))
        loss = loss + self.weight * growth * (right * divergence).mean()
        return loss, logits[: len(labels)]

    def attack(
        self,
        model: LatentSmoothedClassifier,
        latents: Tensor,
        labels: Tensor,
        noise: Tensor,
        growth: float,
    ) -> tuple[Tensor, Tensor]:
        """Return the points that stand for the clean latents, and the adversaries."""
        length = self.step_size * model.latent_sigma

        def loss(point: Tensor) -> Tensor:
            logits = self.vote(model, repeat_draws(point, self.draws) + noise)
            return soft_cross_entropy(log_soft_vote(logits, self.draws), labels).sum()

        def free(point: Tensor) -> Tensor:
            return point

        with steady(model.head):
            near = ascend(loss, latents, steps=self.clean_steps, step_size=length, restrict=free)
            far = ascend(
                loss, near, steps=self.steps - self.clean_steps, step_size=length, restrict=free
            )
        if self.clean_steps:
            near = within_ball(near, latents, length * self.clean_steps * growth)
        return near, far


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Return ``(batch,)`` as ``(batch, 1, ..., 1)``."""
    return values.view(-1, *[1] * (like.ndim - 1))
