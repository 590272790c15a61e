"""A classifier made ready to certify: both networks copied, folded, and the bound verified."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from latentsmooth.errors import DataError, ShapeError
from latentsmooth.lipschitz import lipschitz_bound
from latentsmooth.smoothing import fold, refuse_mixing

__all__ = ["PreparedClassifier", "SmoothedClassifier", "check_image", "prepare_classifier"]

PIXEL_SLACK = 1e-6


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
        head: as trained, or what folding left of it.
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
        dtype = _wide_dtype(self.device)
        batch = torch.stack([image.to(self.device, dtype) for image in images])
        with torch.autocast(self.device.type, enabled=False):
            latents: Tensor = self.encoder(batch)
        return latents.float().contiguous()


def prepare_classifier(classifier: SmoothedClassifier, *, folds: bool = True) -> PreparedClassifier:
    """Copy a classifier's networks, fold the head's first linear map, and verify the bound.

    The larger of the bounds of the encoder as shipped and of the copy that runs counts.

    Args:
        classifier: encoder, head and ``latent_sigma``; left as it is.
        folds: whether to move the orthonormal part of the head's first linear map into the
            encoder where that is cheaper; see `latentsmooth.smoothing.fold`.

    Raises:
        UnverifiedModule: where the encoder holds a module without a Lipschitz rule.
        ConfigurationError: where the head's answer to one latent depends on the others in its
            batch; its votes would not be independent.
    """
    device = _device_of(classifier)
    image_shape = classifier.image_shape
    encoder = copy.deepcopy(classifier.encoder).eval().requires_grad_(False)
    bound = lipschitz_bound(encoder, input_shape=image_shape)
    encoder.to(dtype=_wide_dtype(device))
    head: nn.Module = copy.deepcopy(classifier.head).eval().requires_grad_(False)
    latent_shape = _latent_shape(encoder, image_shape, device)
    folding = ""
    if folds:
        folded = fold(encoder, head, latent_shape=latent_shape, dtype=_wide_dtype(device))
        if folded is not None:
            encoder, head, latent_shape = folded.encoder, folded.head, folded.latent_shape
            folding = folded.what
    prepared = PreparedClassifier(
        encoder=encoder,
        head=head,
        latent_shape=latent_shape,
        lipschitz_bound=max(bound, lipschitz_bound(encoder, input_shape=image_shape)),
        folding=folding,
        device=device,
        image_shape=image_shape,
    )
    latent = prepared.encode(torch.full(image_shape, 0.5))
    with torch.autocast(device.type, enabled=False):
        refuse_mixing(head, latent)
    return prepared


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


@torch.inference_mode()
def _latent_shape(
    encoder: nn.Module, image_shape: tuple[int, int, int], device: torch.device
) -> tuple[int, ...]:
    blank = torch.full((1, *image_shape), 0.5, dtype=_wide_dtype(device), device=device)
    with torch.autocast(device.type, enabled=False):
        return tuple(encoder(blank).shape[1:])


def _wide_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _device_of(classifier: SmoothedClassifier) -> torch.device:
    for module in (classifier.head, classifier.encoder):
        for tensor in (*module.parameters(), *module.buffers()):
            return tensor.device
    return torch.device("cpu")
