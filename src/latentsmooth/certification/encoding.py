"""Images to latents: in which arithmetic, and which images are taken."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.lipschitz import ordinary_kernels

__all__ = ["PIXEL_SLACK", "EncoderPrecision", "check_image", "encode", "encoder_dtype"]

EncoderPrecision = Literal["float64", "float32"]

PIXEL_SLACK = 1e-6
"""How far outside [0, 1] a pixel may lie, as resizing leaves some."""


def encoder_dtype(precision: EncoderPrecision, device: torch.device) -> torch.dtype:
    """The dtype of an encoder; float32 on devices that have no float64.

    Raises:
        ConfigurationError: for an unknown precision.
    """
    if precision not in ("float64", "float32"):
        raise ConfigurationError(f"unknown encoder precision {precision!r}: use float64 or float32")
    wide = precision == "float64" and device.type != "mps"
    return torch.float64 if wide else torch.float32


@torch.inference_mode()
def encode(encoder: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Encode images in the arithmetic that `latentsmooth.lipschitz.rounding_bound` is about.

    Args:
        encoder: in evaluation mode, in ``dtype``.
        images: ``(batch, channels, height, width)`` on its device.
        dtype: float64 or float32.

    Returns:
        ``(batch, *latent_shape)`` in ``dtype``.
    """
    device = images.device
    # Float64 has none of the other kernels on a CPU.
    plain = dtype == torch.float64 and device.type == "cpu"
    kernels = contextlib.nullcontext() if plain else ordinary_kernels(device)
    with torch.autocast(device.type, enabled=False), kernels:
        latents: Tensor = encoder(images.to(dtype))
    return latents.contiguous()


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
