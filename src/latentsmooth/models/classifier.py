"""The classifier: an encoder run once, a head that votes under latent noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from latentsmooth.certification import (
    Certificate,
    EngineOptions,
    Prediction,
    Rule,
    certify,
    predict,
)
from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.lipschitz import evaluating, lipschitz_bound
from latentsmooth.models import artifact
from latentsmooth.models.weights import HeadDtype

__all__ = ["LatentSmoothedClassifier"]


class LatentSmoothedClassifier(nn.Module):
    """An encoder with a verified Lipschitz bound, a head, and the noise between them.

    The classifier that is deployed and certified is the smoothed one, `predict` and `certify`;
    ``forward`` is the base network without noise, as training and attacks need it.

    Args:
        encoder: from pixels in [0, 1] to latents; every module in it needs a Lipschitz rule.
        head: any module from latents to ``(batch, classes)``.
        latent_sigma: standard deviation of the noise.
        class_names: names of the classes, in the order of the head's outputs.
        image_shape: ``(channels, height, width)``.
        build: name and arguments of the build that made the pair; ``None`` for a user's own.

    Raises:
        ConfigurationError: unless ``latent_sigma`` is positive and there are two classes or more.
        ShapeError: where encoder and head do not fit the images, each other or the classes.

    Example:
        >>> from latentsmooth.orthogonal import Center
        >>> pair = LatentSmoothedClassifier(
        ...     nn.Sequential(Center(), nn.Flatten()), nn.Linear(64, 2), latent_sigma=0.5,
        ...     class_names=("left", "right"), image_shape=(1, 8, 8))
        >>> [made] = pair.certify(torch.rand(1, 1, 8, 8), n_estimate=1000)
        >>> made.n_used
        1100
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        *,
        latent_sigma: float,
        class_names: Sequence[str],
        image_shape: Sequence[int],
        build: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not (math.isfinite(latent_sigma) and latent_sigma > 0):
            raise ConfigurationError(f"wanted a positive latent_sigma, got {latent_sigma}")
        if len(class_names) < 2:
            raise ConfigurationError(f"wanted at least 2 class names, got {len(class_names)}")
        if len(image_shape) != 3:
            raise ShapeError(f"expected (channels, height, width), got {tuple(image_shape)}")
        self.encoder = encoder
        self.head = head
        self.latent_sigma = float(latent_sigma)
        self.class_names = tuple(class_names)
        self.image_shape = (int(image_shape[0]), int(image_shape[1]), int(image_shape[2]))
        self.build = build
        self.training_summary: dict[str, Any] = {}
        self._latent_shape = self._run_once()
        self._built_as = artifact.architecture(self)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent."""
        return self._latent_shape

    @property
    def lipschitz_bound(self) -> float:
        """Verified bound of the encoder over pixels in [0, 1], from the weights as they are now.

        Raises:
            UnverifiedModule: where the encoder holds a module without a rule.
        """
        with evaluating(self.encoder):
            return lipschitz_bound(self.encoder, input_shape=self.image_shape)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides the classifier's answers: weights and settings."""
        return artifact.fingerprint(self)

    def forward(self, images: Tensor) -> Tensor:
        """The base network: ``(batch, *image_shape)`` to logits ``(batch, classes)``, no noise."""
        logits: Tensor = self.head(self.encoder(images))
        return logits

    def certify(
        self,
        images: Tensor | Any,
        *,
        rule: Rule | None = None,
        n_select: int | None = None,
        n_estimate: int | None = None,
        alpha: float | None = None,
        indices: Sequence[int] | None = None,
        labels: Sequence[int | None] | None = None,
        **engine: Unpack[EngineOptions],
    ) -> list[Certificate]:
        """Certify ``(batch, *image_shape)`` images or a data set.

        See `latentsmooth.certification.certify`.
        """
        return certify(
            self,
            images,
            rule=rule,
            n_select=n_select,
            n_estimate=n_estimate,
            alpha=alpha,
            indices=indices,
            labels=labels,
            **engine,
        )

    def predict(
        self,
        images: Tensor | Any,
        *,
        n_samples: int = 1000,
        alpha: float = 1e-3,
        indices: Sequence[int] | None = None,
        **engine: Unpack[EngineOptions],
    ) -> list[Prediction]:
        """Predict ``(batch, *image_shape)`` images or a data set.

        See `latentsmooth.certification.predict`.
        """
        return predict(self, images, n_samples=n_samples, alpha=alpha, indices=indices, **engine)

    def save_pretrained(self, folder: str | Path, *, head_dtype: HeadDtype = "float32") -> Path:
        """Write ``model.safetensors`` and ``config.json``; see `latentsmooth.models.artifact`.

        Args:
            folder: made if need be; files of an earlier save are replaced.
            head_dtype: what the head's matrices and kernels are stored in; ``"bfloat16"`` halves
                the file and rounds them.
        """
        return artifact.save_classifier(self, folder, head_dtype=head_dtype)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path,
        *,
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
        revision: str | None = None,
    ) -> LatentSmoothedClassifier:
        """Load a saved classifier and verify its bound anew.

        Args:
            folder_or_hub_id: a local folder, a Hugging Face hub id such as ``owner/name``, or
                ``packaged:NAME``, one of `latentsmooth.models.list_packaged`.
            encoder: the encoder's module, for a classifier that no named build made.
            head: its head, likewise.
            revision: of the hub repository.

        Raises:
            CorruptArtifact: where the folder is damaged, foreign or contradicts itself.
        """
        return artifact.load_classifier(
            folder_or_hub_id, encoder=encoder, head=head, revision=revision
        )

    def _run_once(self) -> tuple[int, ...]:
        like = next(self.encoder.parameters(), next(self.head.parameters(), torch.zeros(())))
        image = torch.zeros(1, *self.image_shape, device=like.device, dtype=like.dtype)
        try:
            with torch.no_grad(), evaluating(self.encoder, self.head):
                latent = self.encoder(image)
                logits = self.head(latent)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ShapeError(
                f"encoder and head do not fit images of shape {self.image_shape}: {error}"
            ) from error
        if tuple(logits.shape) != (1, len(self.class_names)):
            raise ShapeError(
                f"expected logits of shape (1, {len(self.class_names)}), got {tuple(logits.shape)}"
            )
        return tuple(latent.shape[1:])
