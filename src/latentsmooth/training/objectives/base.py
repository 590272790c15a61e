"""What an objective is, and what all of this package's have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from latentsmooth.models import LatentSmoothedClassifier
from latentsmooth.orthogonal import batched_weights
from latentsmooth.training.objectives.noise import add_latent_noise
from latentsmooth.training.objectives.options import check_fields

__all__ = ["LatentObjective", "Objective"]


class Objective(Protocol):
    """A rule that turns a classifier and a batch into a loss to be minimised."""

    def __call__(
        self,
        model: LatentSmoothedClassifier,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        progress: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits it came from.

        Args:
            model: the classifier in training.
            images: ``(batch, channels, height, width)`` in [0, 1].
            labels: ``(batch,)`` int64.
            generator: source of all noise, on the images' device.
            progress: share of the training steps done, above 0 and at most 1.

        Returns:
            The scalar mean loss and the logits ``(batch, classes)`` of one noise draw an image,
            both float32.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LatentObjective(ABC):
    """What objectives share: the encoder once an image, the head on a batch of noisy latents.

    Several noise draws an image are laid out one whole batch after the other,
    ``(draws * batch, ...)``, and go through the head together. An option that is out of its range
    is a `ConfigurationError`.

    Args:
        label_smoothing: share of the target spread evenly over all classes.
        bfloat16: whether encoder and head compute in bfloat16; noise and loss are float32.
        teacher: a trained classifier to learn from, in eval mode on the images' device; only for
            objectives whose ``uses_teacher`` is not "never".
    """

    label_smoothing: float = 0.0
    bfloat16: bool = False
    teacher: LatentSmoothedClassifier | None = field(default=None, repr=False, compare=False)

    uses_teacher: ClassVar[Literal["never", "optionally", "always"]] = "never"

    def __post_init__(self) -> None:
        check_fields(self)

    @abstractmethod
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

    def low_precision(self, device: torch.device) -> torch.autocast:
        """Return the context in which the networks run."""
        return torch.autocast(
            device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False
        )

    def encode(self, model: LatentSmoothedClassifier, images: Tensor) -> Tensor:
        """Return the latents ``(batch, *latent_shape)`` of a batch, float32."""
        with batched_weights(model.encoder):
            return self.run_encoder(model, images)

    def run_encoder(self, model: LatentSmoothedClassifier, images: Tensor) -> Tensor:
        """Do what `encode` does, with the weights that a surrounding context has built."""
        with self.low_precision(images.device):
            latents: Tensor = model.encoder(images)
        return latents.float()

    def vote(self, model: LatentSmoothedClassifier, latents: Tensor) -> Tensor:
        """Return the head's logits ``(batch, classes)`` for (noisy) latents, float32."""
        with self.low_precision(latents.device):
            logits: Tensor = model.head(latents)
        return logits.float()

    def noisy_votes(
        self,
        model: LatentSmoothedClassifier,
        latents: Tensor,
        *,
        draws: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return logits ``(draws * batch, classes)`` of noisy copies of latents, float32."""
        noisy = add_latent_noise(
            latents, latent_sigma=model.latent_sigma, generator=generator, draws=draws
        )
        return self.vote(model, noisy)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy, a scalar."""
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
