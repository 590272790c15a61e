"""A classifier made ready to certify: both networks copied, folded, and the bound verified."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.smoothing import fold, simplified_head
from latentsmooth.smoothing.head import agree, copied

__all__ = [
    "PreparedClassifier",
    "SmoothedClassifier",
    "check_image",
    "check_latent",
    "drawn_sigma",
    "prepare_classifier",
]

PIXEL_SLACK = 1e-6
_MOST_ROUNDING = 0.01
"""Part of the noise's standard deviation that rounding a latent may move it by."""


class SmoothedClassifier(Protocol):
    """What certification needs to know of a classifier."""

    encoder: nn.Module
    head: nn.Module
    latent_sigma: float
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedClassifier:
    """Copies that run, so that training the original further changes nothing here.

    Attributes:
        encoder: in float64 where the device can.
        head: as trained or what folding left of it, batch norms merged.
        latent_shape: shape of one latent, where the noise is added.
        lipschitz_bound: verified bound of the encoder that every radius is divided by.
        folding: what of the head moved into the encoder; empty where nothing did.
        device: where both are.
        image_shape: ``(channels, height, width)``.
    """

    encoder: nn.Module
    head: nn.Module
    latent_shape: tuple[int, ...]
    lipschitz_bound: float
    folding: str
    device: torch.device
    image_shape: tuple[int, int, int]

    @property
    def burst(self) -> int:
        """Images that are best encoded together.

        On a CPU one at a time costs no more, and a latent then cannot depend on its neighbours
        even in its last bit; a GPU would idle.
        """
        return 1 if self.device.type == "cpu" else 16

    def encode(self, image: Tensor) -> Tensor:
        """Encode one image.

        Args:
            image: ``(channels, height, width)`` float, pixels in [0, 1].

        Returns:
            ``latent_shape``, float32.

        Raises:
            ShapeError: for an image of another shape than the classifier's.
            DataError: for pixels that are not finite or outside [0, 1].
        """
        check_image(image, self.image_shape)
        return self.encode_checked([image])[0]

    @torch.inference_mode()
    def encode_checked(self, images: Sequence[Tensor]) -> Tensor:
        """Encode images that `check_image` let pass.

        Returns:
            ``(images, *latent_shape)``, float32.
        """
        batch = torch.stack([image.to(self.device) for image in images])
        return _encoded(self.encoder, batch)


def prepare_classifier(classifier: SmoothedClassifier, *, folds: bool = True) -> PreparedClassifier:
    """Copy a classifier's networks, fold the head's first linear map, and verify the bound.

    The larger of the bounds of the encoder as shipped and of the copy that runs counts.

    Args:
        classifier: encoder, head and ``latent_sigma``; left as it is.
        folds: whether to move the orthonormal part of the head's first linear map into the
            encoder where that is cheaper; see `latentsmooth.smoothing.fold`.

    Raises:
        UnverifiedModule: where the encoder holds a module without a Lipschitz rule.
        ConfigurationError: for a head that cannot be copied.
    """
    device = _device_of(classifier)
    image_shape = classifier.image_shape
    encoder = copy.deepcopy(classifier.encoder).eval().requires_grad_(False)
    bound = lipschitz_bound(encoder, input_shape=image_shape)
    encoder.to(dtype=_wide_dtype(device))
    head = classifier.head
    latent_shape = _latent_shape(encoder, image_shape, device)
    folding = ""
    if folds:
        folded = fold(encoder, head, latent_shape=latent_shape, dtype=_wide_dtype(device))
        if folded is not None and _agree(
            (encoder, head), (folded.encoder, folded.head), image_shape
        ):
            encoder, head, latent_shape = folded.encoder, folded.head, folded.latent_shape
            folding = folded.what
    latent = _encoded(encoder, torch.full((1, *image_shape), 0.5, device=device))[0]
    with torch.autocast(device.type, enabled=False):
        head = simplified_head(head, latent)
    return PreparedClassifier(
        encoder=encoder,
        head=head,
        latent_shape=latent_shape,
        lipschitz_bound=max(bound, lipschitz_bound(encoder, input_shape=image_shape)),
        folding=folding,
        device=device,
        image_shape=image_shape,
    )


def check_image(image: Tensor, image_shape: tuple[int, int, int]) -> None:
    """Raise unless an image has the classifier's shape and finite pixels in [0, 1]."""
    if not isinstance(image, Tensor):
        raise DataError(f"expected an image as a torch tensor, got {type(image).__name__}")
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


def check_latent(latent: Tensor, latent_sigma: float) -> None:
    """Raise where a latent is so large that float32 would round the noise away.

    The sum of latent and noise is rounded to float32. What that may move a latent by must be far
    below the noise, or else votes would be those of a lattice and not of a Gaussian.

    Raises:
        DataError: naming both.
    """
    largest = float(latent.abs().max()) if latent.numel() else 0.0
    rounding = largest * 2.0**-24 * math.sqrt(latent.numel())
    if not rounding <= _MOST_ROUNDING * latent_sigma:
        raise DataError(
            f"expected latents that leave room for noise of {latent_sigma:g}, got values of up to "
            f"{largest:g}, which float32 rounds by up to {rounding:.3g} in l2"
        )


def drawn_sigma(latent_sigma: float) -> float:
    """Return the standard deviation as the noise is drawn: rounded to float32.

    Raises:
        ConfigurationError: for one that float32 cannot hold.

    Example:
        >>> drawn_sigma(0.25), drawn_sigma(0.12) < 0.12
        (0.25, True)
    """
    limits = torch.finfo(torch.float32)
    if not limits.tiny <= latent_sigma <= limits.max:
        raise ConfigurationError(f"wanted latent_sigma within float32's range, got {latent_sigma}")
    return torch.tensor(latent_sigma, dtype=torch.float32).item()


def _latent_shape(
    encoder: nn.Module, image_shape: tuple[int, int, int], device: torch.device
) -> tuple[int, ...]:
    return tuple(_encoded(encoder, torch.full((1, *image_shape), 0.5, device=device)).shape[1:])


@torch.inference_mode()
def _encoded(encoder: nn.Module, images: Tensor) -> Tensor:
    with torch.autocast(images.device.type, enabled=False):
        latents: Tensor = encoder(images.to(_wide_dtype(images.device)))
    return latents.float().contiguous()


@torch.inference_mode()
def _agree(
    pair: tuple[nn.Module, nn.Module],
    folded: tuple[nn.Module, nn.Module],
    image_shape: tuple[int, int, int],
) -> bool:
    """Whether the folded pair computes the same; a module may do what its class does not tell."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, *image_shape, generator=generator, dtype=torch.float32)
    scores = []
    for encoder, head in (pair, folded):
        there = next((tensor.device for tensor in head.parameters()), images.device)
        with torch.autocast(there.type, enabled=False):
            scores.append(copied(head)(_encoded(encoder, images.to(there))))
    return agree(scores[1], scores[0], tolerance=1e-4)


def _wide_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _device_of(classifier: SmoothedClassifier) -> torch.device:
    for module in (classifier.head, classifier.encoder):
        for tensor in (*module.parameters(), *module.buffers()):
            return tensor.device
    return torch.device("cpu")
