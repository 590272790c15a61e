"""A classifier made ready to certify: both networks copied, folded, and the bound verified."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from latentsmooth.certification.deductions import Deductions
from latentsmooth.certification.encoding import (
    PIXEL_SLACK,
    EncoderPrecision,
    check_image,
    encode,
    encoder_dtype,
)
from latentsmooth.errors import ConfigurationError
from latentsmooth.lipschitz import lipschitz_bound, rounding_bound
from latentsmooth.smoothing import Grade, Lattice, choose_lattice, fold, simplified_head
from latentsmooth.smoothing.head import agree, copied
from latentsmooth.smoothing.noise import inverse_table

__all__ = ["PreparedClassifier", "SmoothedClassifier", "drawn_sigma", "prepare_classifier"]


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
        encoder: in ``encoder_dtype``.
        encoder_dtype: float64, or float32 where that was asked for or the device has no other.
        head: as trained or what folding left of it, batch norms merged.
        latent_shape: shape of one latent, where the noise is added.
        lattice: what latents and noise are rounded to.
        lipschitz_bound: verified bound of the encoder that every radius is divided by.
        deductions: what rounding takes off every radius.
        assumed: modules of the encoder whose rounding is a user's statement, not derived.
        folding: what of the head moved into the encoder; empty where nothing did.
        device: where both are.
        image_shape: ``(channels, height, width)``.
    """

    encoder: nn.Module
    encoder_dtype: torch.dtype
    head: nn.Module
    latent_shape: tuple[int, ...]
    lattice: Lattice
    lipschitz_bound: float
    deductions: Deductions
    assumed: tuple[str, ...]
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
            ``latent_shape``, float32, on the lattice.

        Raises:
            ShapeError: for an image of another shape than the classifier's.
            DataError: for pixels that are not finite or outside [0, 1], or a latent out of range.
        """
        check_image(image, self.image_shape)
        return self.lattice.rounded(self.encode_checked([image])[0], certified=False)

    def encode_checked(self, images: Sequence[Tensor]) -> Tensor:
        """Encode images that `check_image` let pass.

        Args:
            images: a few.

        Returns:
            ``(images, *latent_shape)`` in ``encoder_dtype``, not yet on the lattice.
        """
        batch = torch.stack([image.to(self.device) for image in images])
        return encode(self.encoder, batch, self.encoder_dtype)


def prepare_classifier(
    classifier: SmoothedClassifier,
    *,
    folds: bool = True,
    encoder_precision: EncoderPrecision = "float64",
    noise: Grade = "fast",
) -> PreparedClassifier:
    """Copy a classifier's networks, fold the head's first linear map, and verify the bounds.

    The larger of the Lipschitz bounds of the encoder as shipped and of the copy that runs counts.

    Args:
        classifier: encoder, head and ``latent_sigma``; left as it is.
        folds: whether to move the orthonormal part of the head's first linear map into the
            encoder where that is cheaper; see `latentsmooth.smoothing.fold`.
        encoder_precision: arithmetic of the encoder; float32 is faster and costs more radius.
        noise: grade of the noise, whose total variation is deducted where it is known.

    Raises:
        UnverifiedModule: where the encoder holds a module without a Lipschitz rule.
        ConfigurationError: for a head that cannot be copied.
    """
    device = _device_of(classifier)
    dtype = encoder_dtype(encoder_precision, device)
    image_shape = classifier.image_shape
    encoder = copy.deepcopy(classifier.encoder).eval().requires_grad_(False)
    bound = lipschitz_bound(encoder, input_shape=image_shape)
    encoder.to(dtype=dtype)
    head = classifier.head
    grey = torch.full((1, *image_shape), 0.5, device=device)
    latent = encode(encoder, grey, dtype)[0]
    folding = ""
    if folds:
        folded = fold(encoder, head, latent_shape=tuple(latent.shape), dtype=dtype)
        if folded is not None and _agree(
            (encoder, head), (folded.encoder, folded.head), image_shape, dtype
        ):
            encoder, head, folding = folded.encoder, folded.head, folded.what
            latent = encode(encoder, grey, dtype)[0]
    with torch.autocast(device.type, enabled=False):
        head = simplified_head(head, latent.float())
    # After both have run: a forward may switch as well.
    _check_modes(encoder, head)
    bound = max(bound, lipschitz_bound(encoder, input_shape=image_shape))
    error = rounding_bound(
        encoder, input_shape=image_shape, dtype=dtype, low=-PIXEL_SLACK, high=1 + PIXEL_SLACK
    )
    sigma = classifier.latent_sigma if noise == "exact" else drawn_sigma(classifier.latent_sigma)
    lattice = choose_lattice(latent_sigma=sigma, size=latent.numel(), largest=error.norm)
    return PreparedClassifier(
        encoder=encoder,
        encoder_dtype=dtype,
        head=head,
        latent_shape=tuple(latent.shape),
        lattice=lattice,
        lipschitz_bound=bound,
        deductions=Deductions(
            encoder_rounding=_short(error.error + _image_rounding(bound, image_shape, dtype)),
            lattice_rounding=lattice.slack,
            total_variation=_total_variation(lattice) if noise == "exact" else 0.0,
        ),
        assumed=error.assumed,
        folding=folding,
        device=device,
        image_shape=image_shape,
    )


def _check_modes(encoder: nn.Module, head: nn.Module) -> None:
    """Raise where a part that runs is in training mode, whatever was switched to evaluation."""
    for which, network in (("encoder", encoder), ("head", head)):
        for path, part in network.named_modules():
            if part.training:
                raise ConfigurationError(
                    f"the {which}'s {path or 'network'} ({type(part).__name__}) is in training "
                    "mode although it was switched to evaluation: wanted its train() to switch it"
                )


def _short(value: float) -> float:
    """A number rounded up to eight bits: the same whatever the order of the sums behind it."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(math.ceil(mantissa * 2**8), exponent - 8)


def _image_rounding(bound: float, image_shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    """What rounding an image of float64 to the encoder's dtype may move the latent by."""
    if dtype == torch.float64:
        return 0.0
    return bound * 2.0**-24 * (1 + 2 * PIXEL_SLACK) * math.sqrt(math.prod(image_shape))


def _total_variation(lattice: Lattice) -> float:
    """Coordinates are independent, so their distances add up."""
    each = inverse_table(lattice.latent_sigma / lattice.step).total_variation
    return each * lattice.size * (1 + 1e-12)


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


@torch.inference_mode()
def _agree(
    pair: tuple[nn.Module, nn.Module],
    folded: tuple[nn.Module, nn.Module],
    image_shape: tuple[int, int, int],
    dtype: torch.dtype,
) -> bool:
    """Whether the folded pair computes the same; a module may do what its class does not tell."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, *image_shape, generator=generator, dtype=torch.float32)
    scores = []
    for encoder, head in (pair, folded):
        there = next((tensor.device for tensor in head.parameters()), images.device)
        with torch.autocast(there.type, enabled=False):
            scores.append(copied(head)(encode(encoder, images.to(there), dtype).float()))
    return agree(scores[1], scores[0], tolerance=1e-4)


def _device_of(classifier: SmoothedClassifier) -> torch.device:
    for module in (classifier.head, classifier.encoder):
        for tensor in (*module.parameters(), *module.buffers()):
            return tensor.device
    return torch.device("cpu")
