"""Certification and prediction, one image at a time: encode once, vote, bound."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from latentsmooth.certification.bounds import (
    check_alpha,
    clopper_pearson_lower,
    input_radius,
    latent_radius,
    two_sided_p_value,
)
from latentsmooth.certification.certificate import Certificate, Prediction
from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.machine import Precision, resolve_precision
from latentsmooth.smoothing import (
    NoiseStream,
    Phase,
    count_votes,
    default_batch_size,
    prepare_head,
    refuse_mixing,
)

__all__ = ["Certifier", "SmoothedClassifier", "certify", "predict"]

TOP_CLASSES = 5
PIXEL_SLACK = 1e-6


class SmoothedClassifier(Protocol):
    """What certification needs to know of a classifier."""

    encoder: nn.Module
    head: nn.Module
    latent_sigma: float
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


class Certifier:
    """A classifier made ready to certify: a copy of both networks, the bound verified on it.

    The copy is what runs, so that training the original further changes nothing here. The
    encoder's copy computes in float64 where the device can; the larger of its bound and the
    original's divides every radius.

    Args:
        classifier: encoder, head and ``latent_sigma``.
        seed: of the noise.
        batch_size: noisy latents a head call; ``None`` chooses. Results do not depend on it
            beyond the rounding of the head's own arithmetic.
        precision: of the head: ``float32``, ``bfloat16``, or ``auto``.

    Raises:
        UnverifiedModule: where the encoder holds a module without a Lipschitz rule.
        ConfigurationError: where the head's answer to one latent depends on the others in its
            batch; its votes would not be independent.
    """

    def __init__(
        self,
        classifier: SmoothedClassifier,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ConfigurationError(f"wanted batch_size >= 1, got {batch_size}")
        if seed < 0:
            raise ConfigurationError(f"wanted seed >= 0, got {seed}")
        self.device = _device_of(classifier)
        self._encoder, self.lipschitz_bound = _frozen_encoder(classifier, self.device)
        self.precision = resolve_precision(precision, self.device)
        self.seed = seed
        self.latent_sigma = classifier.latent_sigma
        self._image_shape = classifier.image_shape
        self._num_classes = len(classifier.class_names)
        self._batch_size = batch_size
        self._dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        self._head = prepare_head(classifier.head, precision=self.precision)
        latent = self.encode(torch.full(self._image_shape, 0.5))
        with torch.autocast(self.device.type, enabled=False):
            refuse_mixing(classifier.head, latent)

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Tensor:
        """Encode one image, alone, so that its latent never depends on its neighbours.

        Args:
            image: ``(channels, height, width)`` float, pixels in [0, 1].

        Returns:
            The latent, float32.

        Raises:
            ShapeError: for an image of another shape than the classifier's.
            DataError: for pixels that are not finite or outside [0, 1].
        """
        check_image(image, self._image_shape)
        dtype = _wide_dtype(self.device)
        with torch.autocast(self.device.type, enabled=False):
            latent: Tensor = self._encoder(image.to(self.device, dtype).unsqueeze(0))[0]
        return latent.float().contiguous()

    def certify_image(
        self,
        image: Tensor,
        *,
        index: int,
        label: int | None = None,
        n_select: int = 100,
        n_estimate: int = 100_000,
        alpha: float = 1e-3,
    ) -> Certificate:
        """Certify one image (Cohen et al., CERTIFY, on the latent).

        Args:
            image: ``(channels, height, width)`` float, pixels in [0, 1].
            index: its position in the data set; a key of the noise.
            label: its true class, where known.
            n_select: samples that choose the candidate class.
            n_estimate: fresh samples that bound its probability.
            alpha: probability that the certificate is wrong.
        """
        check_alpha(alpha)
        start = self._now()
        latent = self.encode(image)
        selection = self._votes(latent, index, Phase.SELECT, n_select)
        candidate = int(selection.argmax())
        votes = self._votes(latent, index, Phase.ESTIMATE, n_estimate).tolist()
        p_lower = clopper_pearson_lower(votes[candidate], n_estimate, alpha)
        abstains = p_lower <= 0.5
        in_latent = 0.0 if abstains else latent_radius(p_lower, self.latent_sigma)
        in_input = 0.0 if abstains else input_radius(in_latent, self.lipschitz_bound)
        return Certificate(
            index=index,
            label=label,
            prediction=None if abstains else candidate,
            candidate=candidate,
            p_lower=p_lower,
            latent_radius=in_latent,
            input_radius=in_input,
            votes=leading_votes(votes),
            n_select=n_select,
            n_used=n_select + n_estimate,
            alpha=alpha,
            seconds=self._now() - start,
        )

    def predict_image(
        self, image: Tensor, *, index: int, n_samples: int = 1000, alpha: float = 1e-3
    ) -> Prediction:
        """Predict one image's class or abstain (Cohen et al., PREDICT, on the latent).

        Args:
            image: ``(channels, height, width)`` float, pixels in [0, 1].
            index: its position in the data set; a key of the noise.
            n_samples: votes.
            alpha: probability that a returned class is not the smoothed classifier's.
        """
        check_alpha(alpha)
        start = self._now()
        votes = self._votes(self.encode(image), index, Phase.PREDICT, n_samples).tolist()
        leading = leading_votes(votes)
        second = leading[1][1] if len(leading) > 1 else 0
        p_value = two_sided_p_value(leading[0][1], second)
        return Prediction(
            index=index,
            prediction=leading[0][0] if p_value <= alpha else None,
            p_value=p_value,
            votes=leading,
            n_used=n_samples,
            alpha=alpha,
            seconds=self._now() - start,
        )

    @torch.inference_mode()
    def _votes(self, latent: Tensor, index: int, phase: Phase, samples: int) -> Tensor:
        noise = NoiseStream(
            seed=self.seed,
            index=index,
            phase=phase,
            latent_shape=latent.shape,
            latent_sigma=self.latent_sigma,
            device=latent.device,
        )
        with torch.autocast(self.device.type, enabled=False):
            return count_votes(
                self._head,
                latent,
                noise,
                samples=samples,
                batch_size=self._batch_size or default_batch_size(latent.shape, latent.device),
                num_classes=self._num_classes,
                dtype=self._dtype,
            ).cpu()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def certify(
    classifier: SmoothedClassifier,
    images: Tensor,
    *,
    n_select: int = 100,
    n_estimate: int = 100_000,
    alpha: float = 1e-3,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    labels: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    precision: Precision = "float32",
) -> list[Certificate]:
    """Certify images one after another.

    Args:
        classifier: encoder, head and ``latent_sigma``.
        images: ``(batch, channels, height, width)`` float, pixels in [0, 1].
        n_select: samples that choose each candidate class.
        n_estimate: fresh samples that bound its probability.
        alpha: probability that one certificate is wrong.
        seed: of the noise.
        indices: the images' positions in their data set (default 0, 1, ...).
        labels: their true classes, where known.
        batch_size: noisy latents a head call; ``None`` chooses.
        precision: of the head.

    Returns:
        One certificate an image, in order.
    """
    places, classes = _keys(images, indices, labels)
    certifier = Certifier(classifier, seed=seed, batch_size=batch_size, precision=precision)
    return [
        certifier.certify_image(
            image, index=index, label=label, n_select=n_select, n_estimate=n_estimate, alpha=alpha
        )
        for image, index, label in zip(images, places, classes, strict=True)
    ]


def predict(
    classifier: SmoothedClassifier,
    images: Tensor,
    *,
    n_samples: int = 1000,
    alpha: float = 1e-3,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    batch_size: int | None = None,
    precision: Precision = "float32",
) -> list[Prediction]:
    """Predict the smoothed classifier's answers, abstaining where the vote is too close.

    Args: as `certify`, with ``n_samples`` votes an image.

    Returns:
        One prediction an image, in order.
    """
    places, _ = _keys(images, indices, None)
    certifier = Certifier(classifier, seed=seed, batch_size=batch_size, precision=precision)
    return [
        certifier.predict_image(image, index=index, n_samples=n_samples, alpha=alpha)
        for image, index in zip(images, places, strict=True)
    ]


def leading_votes(votes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """``(class, count)`` of the most voted classes, ties by class number, zeros left out."""
    ranked = sorted(enumerate(votes), key=lambda pair: (-pair[1], pair[0]))
    return tuple((number, count) for number, count in ranked[:TOP_CLASSES] if count > 0)


def check_image(image: Tensor, image_shape: tuple[int, int, int]) -> None:
    """Raise unless an image has the classifier's shape and finite pixels in [0, 1]."""
    if tuple(image.shape) != tuple(image_shape):
        raise ShapeError(f"expected an image of shape {image_shape}, got {tuple(image.shape)}")
    if not image.dtype.is_floating_point:
        raise DataError(f"expected float pixels in [0, 1], got dtype {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= -PIXEL_SLACK and high <= 1 + PIXEL_SLACK):
        raise DataError(
            f"expected raw pixels in [0, 1], got values from {low:g} to {high:g}; the radius is "
            "over pixels, so do not normalise images beforehand"
        )


def _keys(
    images: Tensor, indices: Sequence[int] | None, labels: Sequence[int | None] | None
) -> tuple[Sequence[int], Sequence[int | None]]:
    if images.ndim != 4:
        raise ShapeError(
            f"expected images of shape (batch, channels, height, width), got {tuple(images.shape)}"
        )
    places = range(len(images)) if indices is None else indices
    given: Sequence[int | None] = [None] * len(images) if labels is None else labels
    # A negative label is how image sets say that none is known.
    classes = [None if label is None or int(label) < 0 else int(label) for label in given]
    if len(places) != len(images) or len(classes) != len(images):
        raise ShapeError(
            f"expected {len(images)} indices and labels, got {len(places)} and {len(classes)}"
        )
    return [int(place) for place in places], classes


def _wide_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _frozen_encoder(
    classifier: SmoothedClassifier, device: torch.device
) -> tuple[nn.Module, float]:
    frozen = copy.deepcopy(classifier.encoder).eval().requires_grad_(False)
    as_shipped = lipschitz_bound(frozen, input_shape=classifier.image_shape)
    frozen.to(dtype=_wide_dtype(device))
    return frozen, max(as_shipped, lipschitz_bound(frozen, input_shape=classifier.image_shape))


def _device_of(classifier: SmoothedClassifier) -> torch.device:
    for module in (classifier.head, classifier.encoder):
        for tensor in (*module.parameters(), *module.buffers()):
            return tensor.device
    return torch.device("cpu")
