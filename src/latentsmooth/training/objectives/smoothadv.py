"""Adversarial training of the smoothed head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import batched_weights
from latentsmooth.training.objectives.attack import ascend, steady, within_ball
from latentsmooth.training.objectives.base import LatentObjective
from latentsmooth.training.objectives.noise import latent_noise, repeat_draws
from latentsmooth.training.objectives.options import choice, count, number
from latentsmooth.training.objectives.probabilities import log_soft_vote, soft_cross_entropy

__all__ = ["SmoothAdvObjective"]


@dataclass(frozen=True, kw_only=True)
class SmoothAdvObjective(LatentObjective):
    r"""Cross-entropy under noise at the image where the soft vote for the label is least.

    .. math:: \frac{1}{m} \sum_i \mathrm{CE}(g(h(x') + e_i), y), \quad
              x' = \arg\max_{\|x' - x\| \le \epsilon} -\log \frac{1}{m} \sum_i
              \mathrm{softmax}(g(h(x') + e_i))_y

    by projected gradient ascent with the same noise in attack and loss. In "pixels" it walks
    through the encoder and stays in the ball and the box [0, 1]; in the "latent" it walks in the
    ball of radius L epsilon, which holds every latent of the ball of images, and the encoder runs
    once and needs no gradient for the attack: weaker knowledge, stronger attack, less work.
    Published radii for CIFAR-10 are 64 to 512 / 255, growing over the first 10 of 150 epochs.
    Source: H. Salman et al., "Provably Robust Deep Learning via Adversarially Trained Smoothed
    Classifiers", arXiv 1906.04584.

    Args:
        draws: m, noise draws an image.
        epsilon: l2 radius of the attack over pixels.
        steps: of the ascent, each of length 2 epsilon / steps.
        space: "pixels" or "latent".
        encoder_bound: L of the encoder for "latent"; it is 1 for all named builds.
        ramp: share of the training in which epsilon grows from nothing.
        label_smoothing: see `LatentObjective`; so too ``bfloat16``.
    """

    draws: int = count(4)
    epsilon: float = number(1.0, above=0)
    steps: int = count(10)
    space: str = choice("pixels", "latent")
    encoder_bound: float = number(1.0, above=0)
    ramp: float = number(0.07, least=0, most=1)

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        progress: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the first draw's attacked logits ``(batch, classes)``."""
        epsilon = self.epsilon * (min(1.0, progress / self.ramp) if self.ramp else 1.0)
        with batched_weights(model.encoder, model.head):
            if self.space == "latent":
                latents = self.run_encoder(model, images)
                noise = self._noise(model, latents, generator)
                found = self.attack_latents(model, latents.detach(), labels, noise, epsilon)
                attacked = latents + (found - latents.detach())
            else:
                noise = self._noise(model, self._outline(model, images), generator)
                found = self.attack_images(model, images, labels, noise, epsilon)
                attacked = self.run_encoder(model, found)
            logits = self.vote(model, repeat_draws(attacked, self.draws) + noise)
        return self.cross_entropy(logits, repeat_draws(labels, self.draws)), logits[: len(labels)]

    def attack_images(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        noise: Tensor,
        epsilon: float,
    ) -> Tensor:
        """Return images ``(batch, *image_shape)`` in the ball and the box that the head gets wrong.

        Args:
            model: the classifier in training.
            images: ``(batch, *image_shape)`` in [0, 1].
            labels: ``(batch,)`` int64.
            noise: ``(draws * batch, *latent_shape)``, the same at every step.
            epsilon: l2 radius over pixels.
        """
        with steady(model.head):
            return ascend(
                lambda point: self._loss(model, self.run_encoder(model, point), labels, noise),
                images,
                steps=self.steps,
                step_size=2 * epsilon / self.steps,
                # the box holds the centre: clamping never leads out of the ball
                restrict=lambda point: within_ball(point, images, epsilon).clamp(0, 1),
            )

    def attack_latents(
        self,
        model: LatentSmoothedClassifier,
        latents: Tensor,
        labels: Tensor,
        noise: Tensor,
        epsilon: float,
    ) -> Tensor:
        """Return latents within ``encoder_bound * epsilon`` that the head gets wrong."""
        radius = self.encoder_bound * epsilon
        with steady(model.head):
            return ascend(
                lambda point: self._loss(model, point, labels, noise),
                latents,
                steps=self.steps,
                step_size=2 * radius / self.steps,
                restrict=lambda point: within_ball(point, latents, radius),
            )

    def _loss(
        self, model: LatentSmoothedClassifier, latents: Tensor, labels: Tensor, noise: Tensor
    ) -> Tensor:
        logits = self.vote(model, repeat_draws(latents, self.draws) + noise)
        return soft_cross_entropy(log_soft_vote(logits, self.draws), labels).sum()

    def _noise(
        self, model: LatentSmoothedClassifier, like: Tensor, generator: torch.Generator
    ) -> Tensor:
        return latent_noise(
            like, latent_sigma=model.latent_sigma, generator=generator, draws=self.draws
        )

    def _outline(self, model: LatentSmoothedClassifier, images: Tensor) -> Tensor:
        """Return an empty tensor of the latents' shape and, as a rule, memory layout."""
        outline = torch.empty((len(images), *model.latent_shape), device=images.device)
        if outline.ndim == 4 and not images.is_contiguous():
            outline = outline.contiguous(memory_format=torch.channels_last)
        return outline
